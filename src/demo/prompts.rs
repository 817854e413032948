//! The table of prompts: `prompts.txt`, whose first lines say how it is read.
//!
//! A mistake in the table is a mistake in the program: it panics, and the tests read all of it.

use std::ops::RangeInclusive;

use super::random::Random;

const TABLE: &str = include_str!("prompts.txt");

/// The section of prompts that are typed in any project.
const ANY_PROJECT: &str = "*";

/// What `{#}` may become: issues, builds, orders.
const NUMBERS: RangeInclusive<usize> = 11..=998;

/// A prompt, and the text pasted into it if that stands in the table.
pub(super) struct Prompt {
    pub(super) text: String,
    pub(super) paste: Option<String>,
}

/// The prompts of one project, drawn like cards: all of them before one comes again.
pub(super) struct Deck {
    pub(super) project: &'static str,
    prompts: Vec<Prompt>,
    to_come: Vec<usize>,
}

impl Deck {
    fn new(project: &'static str) -> Deck {
        Deck { project, prompts: Vec::new(), to_come: Vec::new() }
    }

    /// The next prompt, its choices made.
    pub(super) fn draw(&mut self, random: &mut Random) -> Prompt {
        if self.to_come.is_empty() {
            self.to_come.extend(0..self.prompts.len());
            random.shuffle(&mut self.to_come);
        }
        let index = self.to_come.pop().expect("no section of prompts.txt is empty");
        let Prompt { text, paste } = &self.prompts[index];
        let paste = paste.as_ref().map(|paste| expand(paste, random));
        Prompt { text: expand(text, random), paste }
    }
}

/// The projects' decks, and the one for any project.
pub(super) fn decks() -> (Vec<Deck>, Deck) {
    let (mut any, projects): (Vec<_>, Vec<_>) =
        sections(TABLE).into_iter().partition(|deck| deck.project == ANY_PROJECT);
    (projects, any.pop().expect("prompts.txt has a section for any project"))
}

fn sections(table: &'static str) -> Vec<Deck> {
    let mut decks = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('%')) {
        if let Some(project) = line.strip_prefix("== ") {
            decks.push(Deck::new(project));
        } else {
            let deck = decks.last_mut().expect("prompts.txt begins with a section");
            add_line(&mut deck.prompts, line);
        }
    }
    decks
}

fn add_line(prompts: &mut Vec<Prompt>, line: &str) {
    if let Some(more) = after_mark(line, '|') {
        let prompt = prompts.last_mut().expect("`|` goes on with a prompt");
        prompt.text.extend(["\n", more]);
    } else if let Some(more) = after_mark(line, '>') {
        let prompt = prompts.last_mut().expect("`>` is pasted into a prompt");
        match &mut prompt.paste {
            Some(paste) => paste.extend(["\n", more]),
            None => prompt.paste = Some(more.to_owned()),
        }
    } else {
        prompts.push(Prompt { text: line.to_owned(), paste: None });
    }
}

fn after_mark(line: &str, mark: char) -> Option<&str> {
    let rest = line.strip_prefix(mark)?;
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

/// Replaces each `{a|b}` by one of its words, and `{#}` by a number.
fn expand(template: &str, random: &mut Random) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, opened)) = rest.split_once('{') {
        let (choice, after) = opened.split_once('}').expect("prompts.txt closes every brace");
        text.push_str(before);
        if choice == "#" {
            text.push_str(&random.within(&NUMBERS).to_string());
        } else {
            let words: Vec<&str> = choice.split('|').collect();
            text.push_str(random.pick(&words));
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all_prompts() -> Vec<Prompt> {
        sections(TABLE).into_iter().flat_map(|deck| deck.prompts).collect()
    }

    #[test]
    fn there_is_enough_for_half_an_hour() {
        let prompts = all_prompts();
        let texts: HashSet<&str> = prompts.iter().map(|prompt| prompt.text.as_str()).collect();
        assert_eq!(texts.len(), prompts.len(), "a prompt stands in the table twice");
        assert!(texts.len() >= 180, "{}", texts.len());
        assert_eq!(decks().0.len(), 6);
    }

    #[test]
    fn every_choice_in_the_table_can_be_made() {
        let mut random = Random::seeded(1);
        for prompt in all_prompts() {
            for template in prompt.paste.iter().chain([&prompt.text]) {
                let text = expand(template, &mut random);
                assert!(!text.contains(['{', '}']), "{text}");
            }
        }
    }

    #[test]
    fn a_paste_has_as_many_lines_as_its_prompt_says() {
        for prompt in all_prompts() {
            let Some(paste) = prompt.paste else { continue };
            let said = format!("[Pasted text #1 +{} lines]", paste.lines().count());
            assert!(prompt.text.contains(&said), "{}", prompt.text);
        }
    }

    #[test]
    fn marks_carry_a_prompt_on() {
        let decks = sections("% no\n== /p\none\n| two\n|\n|  four\n> pasted\n>  more\n\nlast\n");
        let prompts = &decks[0].prompts;
        assert_eq!((decks[0].project, prompts.len()), ("/p", 2));
        assert_eq!(prompts[0].text, "one\ntwo\n\n four");
        assert_eq!(prompts[0].paste.as_deref(), Some("pasted\n more"));
        assert_eq!(prompts[1].text, "last");
    }

    #[test]
    fn every_prompt_comes_before_one_comes_again() {
        let mut deck = sections("== /p\na\nb\nc\nd\n").remove(0);
        let mut random = Random::seeded(1);
        for _round in 0..3 {
            let mut drawn: Vec<_> = (0..4).map(|_| deck.draw(&mut random).text).collect();
            drawn.sort_unstable();
            assert_eq!(drawn, ["a", "b", "c", "d"]);
        }
    }
}
