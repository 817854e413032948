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

impl Prompt {
    /// The prompt with its choices made.
    pub(super) fn expanded(&self, random: &mut Random) -> Prompt {
        let paste = self.paste.as_ref().map(|paste| expand(paste, random));
        Prompt { text: expand(&self.text, random), paste }
    }
}

/// The prompts of one project.
pub(super) struct Section {
    pub(super) project: &'static str,
    pub(super) prompts: Vec<Prompt>,
}

/// The sections of the projects, and the one for any project.
pub(super) fn sections() -> (Vec<Section>, Section) {
    let (mut any, projects): (Vec<_>, Vec<_>) =
        parse(TABLE).into_iter().partition(|section| section.project == ANY_PROJECT);
    (projects, any.pop().expect("prompts.txt has a section for any project"))
}

fn parse(table: &'static str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('%')) {
        if let Some(project) = line.strip_prefix("== ") {
            sections.push(Section { project, prompts: Vec::new() });
        } else {
            let section = sections.last_mut().expect("prompts.txt begins with a section");
            add_line(&mut section.prompts, line);
        }
    }
    sections
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
        parse(TABLE).into_iter().flat_map(|section| section.prompts).collect()
    }

    #[test]
    fn there_is_enough_for_half_an_hour() {
        let prompts = all_prompts();
        let texts: HashSet<&str> = prompts.iter().map(|prompt| prompt.text.as_str()).collect();
        assert_eq!(texts.len(), prompts.len(), "a prompt stands in the table twice");
        assert!(texts.len() >= 240, "{}", texts.len());
        assert_eq!(sections().0.len(), 6);
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
        let sections = parse("% no\n== /p\none\n| two\n|\n|  four\n> pasted\n>  more\n\nlast\n");
        let prompts = &sections[0].prompts;
        assert_eq!((sections[0].project, prompts.len()), ("/p", 2));
        assert_eq!(prompts[0].text, "one\ntwo\n\n four");
        assert_eq!(prompts[0].paste.as_deref(), Some("pasted\n more"));
        assert_eq!(prompts[1].text, "last");
    }
}
