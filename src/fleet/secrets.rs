//! Masks what looks like a secret in the JSON that is published: the same as the page masks, by the
//! rules of `static/secrets.js`.
//!
//! Invariant: pure. Everything but the strings with a secret stays as it is, byte for byte.
//! Known weakness: a secret with neither a known shape nor a telling name stays readable.

use std::ops::Range;

/// In the place of a secret.
const MASK: &str = "••••";

/// Tokens that have a known start: it, the letters that follow, and how many of them at least.
#[rustfmt::skip] // A table.
const TOKENS: [(&str, Class, usize); 31] = [
    ("sk-ant-", Class::Dashed, 8), ("sk-", Class::Dashed, 20),
    ("gho_", Class::Word, 16), ("ghp_", Class::Word, 16), ("ghr_", Class::Word, 16),
    ("ghs_", Class::Word, 16), ("ghu_", Class::Word, 16), ("github_pat_", Class::Word, 16),
    ("xapp-", Class::Dashed, 10), ("xox", Class::Slack, 12),
    ("AIza", Class::Dashed, 30), ("ya29.", Class::Dashed, 20), ("GOCSPX-", Class::Dashed, 20),
    ("rk_", Class::Word, 16), ("sk_", Class::Word, 16), ("whsec_", Class::Word, 16),
    ("glpat-", Class::Dashed, 16), ("glptt-", Class::Dashed, 16), ("glrt-", Class::Dashed, 16),
    ("gldt-", Class::Dashed, 16), ("npm_", Class::Word, 30), ("pypi-", Class::Dashed, 16),
    ("hf_", Class::Word, 20), ("doo_v1_", Class::Word, 30), ("dop_v1_", Class::Word, 30),
    ("dor_v1_", Class::Word, 30), ("AGE-SECRET-KEY-", Class::Word, 20),
    ("AKIA", Class::Aws, 16), ("ASIA", Class::Aws, 16),
    ("SG.", Class::Parts(16, 16), 0), ("eyJ", Class::Parts(6, 6), 0),
];

/// The letters of a token.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Letters, digits and `_`.
    Word,
    /// These and `-`.
    Dashed,
    /// A small letter and `-`, then as `Dashed`.
    Slack,
    /// Exactly 16 capital letters and digits.
    Aws,
    /// As `Dashed`, in parts with a dot between them, of these lengths at least. A JWT has a third
    /// part, which may be empty.
    Parts(usize, usize),
}

/// The names in front of a password. The last three are not the end of another word.
const NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "access-key",
    "pass",
    "pwd",
    "pw",
];
const NAMES_WITHIN_WORDS: usize = 11;

/// The ends of a JSON key whose string is masked as a whole.
const KEYS: [&str; 17] = [
    "pass",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "access-key",
    "privatekey",
    "private_key",
    "authorization",
    "credential",
];

/// Masks the strings of a JSON text, keys excepted. A string that is a JSON object itself, as the
/// line of a history, is masked as one.
pub(super) fn mask_json(json: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(json.len());
    let (mut at, mut key) = (0, None);
    while at < json.len() {
        if json[at] != b'"' {
            if matches!(json[at], b'[' | b'{') {
                key = None;
            }
            masked.push(json[at]);
            at += 1;
            continue;
        }
        let end = literal_end(json, at);
        let literal = &json[at..end];
        let is_key = json[end..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        let text = serde_json::from_slice::<String>(literal);
        // Half a surrogate pair is no text; its escapes are searched as they are.
        let text = text.unwrap_or_else(|_| String::from_utf8_lossy(literal).into_owned());
        match key.take() {
            _ if is_key => {
                key = Some(text);
                masked.extend_from_slice(literal);
            }
            Some(key) if is_sensitive_key(&key) && !text.is_empty() => {
                masked.extend(serde_json::json!(MASK).to_string().bytes());
            }
            _ => match mask_value(&text) {
                Some(text) => masked.extend(serde_json::json!(text).to_string().bytes()),
                None => masked.extend_from_slice(literal),
            },
        }
        at = end;
    }
    masked
}

/// Returns the end of the string literal that begins at an index.
fn literal_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    json.len().min(at + 1)
}

/// Returns a string as it is masked; nothing if it has no secret.
fn mask_value(text: &str) -> Option<String> {
    let is_object =
        text.starts_with('{') && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    let inner = if is_object { mask_json(text.as_bytes()) } else { text.as_bytes().to_vec() };
    let masked = mask(&String::from_utf8_lossy(&inner));
    (masked != text).then_some(masked)
}

/// Whether a JSON key, in any spelling, says that its value is a secret.
fn is_sensitive_key(key: &str) -> bool {
    let mut snake = String::with_capacity(key.len());
    let mut before = ' ';
    for letter in key.chars() {
        if before.is_ascii_lowercase() && letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
        before = letter;
    }
    let singular = snake.strip_suffix('s').unwrap_or(&snake);
    let is_end = |key: &str, end: &str| {
        key.strip_suffix(end)
            .is_some_and(|before| before.is_empty() || before.ends_with(['_', '-']))
    };
    let ends = KEYS.iter().chain(&["private-key"]);
    ends.into_iter().any(|end| is_end(&snake, end) || is_end(singular, end))
}

/// Masks the secrets of a text.
fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut reached = 0;
    for Range { start, end } in secrets(text) {
        if start >= reached {
            masked.push_str(&text[reached..start]);
            masked.push_str(MASK);
            reached = end;
        }
    }
    masked.push_str(&text[reached..]);
    masked
}

/// Returns the places of all that looks like a secret, in order; they may overlap.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let rules = [private_key, token, hook, password_in_url, authorization, password];
    let mut found = Vec::new();
    for rule in rules {
        let mut at = 0;
        while at < text.len() {
            match rule(text, at) {
                Some(Found { secret, is_word }) => {
                    at = secret.end;
                    if !is_word {
                        found.push(secret);
                    }
                }
                None => at += 1,
            }
        }
    }
    found.sort_by_key(|place| (place.start, usize::MAX - place.end));
    found
}

/// A secret, or a word of a sentence in its place.
struct Found {
    secret: Range<usize>,
    is_word: bool,
}

fn found(secret: Range<usize>) -> Option<Found> {
    Some(Found { secret, is_word: false })
}

/// The rest of a text if it starts with another one.
fn after<'a>(text: &'a str, at: usize, start: &str) -> Option<&'a str> {
    // Not at a boundary of characters: no rule begins there.
    text.get(at..)?.strip_prefix(start)
}

/// The bytes at the start of a text whose characters are of a class, `most` of them at most.
fn run(text: &str, most: usize, is_of_class: impl Fn(char) -> bool) -> usize {
    text.chars().take(most).take_while(|it| is_of_class(*it)).map(char::len_utf8).sum()
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn is_dashed(letter: char) -> bool {
    is_word(letter) || letter == '-'
}

/// Whether a word can begin at an index.
fn is_start(text: &str, at: usize) -> bool {
    !text.as_bytes()[..at].last().is_some_and(|byte| is_word(*byte as char))
}

fn private_key(text: &str, at: usize) -> Option<Found> {
    let rest = after(text, at, "-----BEGIN ")?;
    let begin = key_line(rest)?;
    let body = at + "-----BEGIN ".len() + begin;
    let ends = memchr::memmem::find_iter(&text.as_bytes()[body..], "-----END ");
    let mut ends = ends.filter_map(|end| {
        let line = body + end + "-----END ".len();
        Some(line + key_line(&text[line..])?)
    });
    found(at..ends.next().unwrap_or(text.len()))
}

/// Returns the length of the rest of a line that begins or ends a private key.
fn key_line(text: &str) -> Option<usize> {
    let kind = run(text, 41, |letter| letter.is_ascii_uppercase() || letter == ' ');
    let ends_so =
        text[..kind].ends_with("PRIVATE KEY") || text[..kind].ends_with("PRIVATE KEY BLOCK");
    (ends_so && text[kind..].starts_with("-----")).then_some(kind + "-----".len())
}

fn token(text: &str, at: usize) -> Option<Found> {
    if !is_start(text, at) {
        return None;
    }
    let rest = text.get(at..)?;
    let known = TOKENS.iter().find_map(|(start, class, least)| {
        Some(start.len() + token_end(rest.strip_prefix(start)?, *class, *least)?)
    });
    let length = known.or_else(|| telegram(rest))?;
    found(at..at + length)
}

fn token_end(rest: &str, class: Class, least: usize) -> Option<usize> {
    let length = match class {
        Class::Word => run(rest, usize::MAX, is_word),
        Class::Dashed => run(rest, usize::MAX, is_dashed),
        Class::Slack => {
            let is_kind = rest.starts_with(|letter: char| letter.is_ascii_lowercase());
            let is_it = is_kind && rest[1..].starts_with('-');
            if is_it { run(rest, usize::MAX, is_dashed) } else { 0 }
        }
        Class::Aws => {
            let length = run(rest, 16, |it| it.is_ascii_uppercase() || it.is_ascii_digit());
            if rest[length..].starts_with(is_word) { 0 } else { length }
        }
        Class::Parts(first_least, second_least) => {
            let first = run(rest, usize::MAX, is_dashed);
            let second = rest[first..].strip_prefix('.')?;
            let length = run(second, usize::MAX, is_dashed);
            let third = second[length..].strip_prefix('.');
            // Of a JWT, which has a third part.
            let is_short = first < first_least || length < second_least;
            if is_short || (first_least == 6 && third.is_none()) {
                return None;
            }
            let third = third.filter(|_| first_least == 6);
            first + 1 + length + third.map_or(0, |it| 1 + run(it, usize::MAX, is_dashed))
        }
    };
    (length >= least).then_some(length)
}

/// The token of a bot of Telegram.
fn telegram(rest: &str) -> Option<usize> {
    let digits = run(rest, 11, |letter| letter.is_ascii_digit());
    let secret = rest[digits..].strip_prefix(':').filter(|_| (8..=10).contains(&digits))?;
    let length = run(secret, 35, is_dashed);
    let is_end = secret[..length].ends_with(is_word) != secret[length..].starts_with(is_word);
    (length == 35 && is_end).then_some(digits + 1 + length)
}

fn hook(text: &str, at: usize) -> Option<Found> {
    let rest = after(text, at, "hooks.slack.com/services/")?;
    let length = run(rest, usize::MAX, |letter| is_word(letter) || letter == '/');
    let start = text.len() - rest.len();
    if length >= 20 { found(start..start + length) } else { None }
}

fn password_in_url(text: &str, at: usize) -> Option<Found> {
    let rest = after(text, at, "://")?;
    let ends = |letter: char| letter.is_whitespace() || "@/\"'".contains(letter);
    let user = run(rest, 80, |letter| !ends(letter) && letter != ':');
    let secret = rest[user..].strip_prefix(':')?;
    let length = run(secret, 200, |letter| !ends(letter));
    let start = text.len() - secret.len();
    let is_it = length > 0 && secret[length..].starts_with('@');
    if is_it { found(start..start + length) } else { None }
}

fn authorization(text: &str, at: usize) -> Option<Found> {
    let rest = without_case(text, at, "bearer").or_else(|| without_case(text, at, "basic"))?;
    let space = run(rest, 10, char::is_whitespace);
    let spaces = rest[..space].chars().count();
    let secret = &rest[space..];
    let length = run(secret, usize::MAX, |letter| is_dashed(letter) || ".~+/=".contains(letter));
    let start = text.len() - secret.len();
    let is_it = is_start(text, at) && (1..=9).contains(&spaces) && length >= 12;
    if is_it { found(start..start + length) } else { None }
}

/// The rest of a text behind a name in any case.
fn without_case<'a>(text: &'a str, at: usize, name: &str) -> Option<&'a str> {
    let is_it = text.get(at..at + name.len())?.eq_ignore_ascii_case(name);
    is_it.then(|| &text[at + name.len()..])
}

fn password(text: &str, at: usize) -> Option<Found> {
    let is_within = text.as_bytes()[..at].last().is_some_and(u8::is_ascii_alphabetic);
    let names = if is_within { &NAMES[..NAMES_WITHIN_WORDS] } else { &NAMES[..] };
    names.iter().find_map(|name| {
        let rest = quote(without_case(text, at, name)?);
        let rest = &rest[run(rest, 9, char::is_whitespace)..];
        let value = rest.strip_prefix([':', '='])?;
        let space = run(value, 9, char::is_whitespace);
        let secret = quote(&value[space..]);
        let is_quoted = secret.len() < value.len() - space;
        let length = run(secret, usize::MAX, |letter| {
            !letter.is_whitespace() && !"\"'`\\,;()<>[]{}".contains(letter)
        });
        let start = text.len() - secret.len();
        let is_sentence = rest.starts_with(':') && space > 0 && !is_quoted;
        let is_word = is_sentence && !has_digit_or_mixed_case(&secret[..length]);
        let is_long = secret[..length].chars().count() >= 4;
        is_long.then_some(Found { secret: start..start + length, is_word })
    })
}

/// Passes over a quotation mark, which may be escaped.
fn quote(text: &str) -> &str {
    let text = text.strip_prefix('\\').unwrap_or(text);
    text.strip_prefix(['"', '\'']).unwrap_or(text)
}

/// A text after `secret: ` without either is a word of a sentence.
fn has_digit_or_mixed_case(text: &str) -> bool {
    let mut pairs = text.as_bytes().windows(2);
    text.contains(|letter: char| letter.is_ascii_digit())
        || (text.chars().count() >= 8
            && pairs.any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Secrets are built here, so that scanners do not report this file.
    fn word(length: usize) -> String {
        "aB3dE5gH7jK9mN1pQ".repeat(20)[..length].to_owned()
    }

    fn upper(length: usize) -> String {
        "AB3DE5GH7JK9MN1PQ".repeat(20)[..length].to_owned()
    }

    /// The samples of `tests/front/secrets.test.js`.
    #[test]
    fn each_known_shape_is_masked_as_a_whole_anywhere_in_a_text() {
        let samples = [
            format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", word(60)),
            "-----BEGIN OPENSSH PRIVATE KEY-----\ncut off".to_owned(),
            format!("sk-ant-api03-{}", word(40)),
            format!("sk-proj-{}", word(40)),
            format!("sk-{}", word(48)),
            format!("ghp_{}", word(36)),
            format!("gho_{}", word(36)),
            format!("github_pat_{}", word(40)),
            format!("xoxb-{}", word(24)),
            format!("xapp-{}", word(24)),
            format!("AKIA{}", upper(16)),
            format!("ASIA{}", upper(16)),
            format!("AIza{}", word(35)),
            format!("ya29.{}", word(30)),
            format!("sk_live_{}", word(24)),
            format!("rk_test_{}", word(24)),
            format!("whsec_{}", word(32)),
            format!("glpat-{}", word(20)),
            format!("npm_{}", word(36)),
            format!("pypi-{}", word(40)),
            format!("hf_{}", word(30)),
            format!("dop_v1_{}", word(40)),
            format!("SG.{}.{}", word(22), word(43)),
            format!("123456789:{}", word(35)),
            format!("AGE-SECRET-KEY-1{}", upper(40)),
            format!("eyJ{}.eyJ{}.{}", word(20), word(40), word(30)),
        ];
        for sample in samples {
            assert_eq!(mask(&format!("use {sample}")), "use ••••", "{sample}");
        }
    }

    #[test]
    fn the_text_before_a_secret_stays_readable() {
        let hook = "https://hooks.slack.com/services/";
        let table = [
            ("postgres://app:hunter2@db/prod", "postgres://app:••••@db/prod"),
            ("https://:hunter2@h/", "https://:••••@h/"),
            ("password=hunter2 next", "password=•••• next"),
            ("DB_PASSWORD: 'hunter2'", "DB_PASSWORD: '••••'"),
            (r#"{"api_key": "abcdefgh"}"#, r#"{"api_key": "••••"}"#),
            (r#"{\"token\":\"abcdefgh\"}"#, r#"{\"token\":\"••••\"}"#),
            ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ••••"),
            ("pwd=hunter2", "pwd=••••"),
            ("password: hunter2", "password: ••••"),
            ("secret: CorrectHorse", "secret: ••••"),
            ("API_KEY: sk-ant-abcdefgh", "API_KEY: ••••"),
            (&format!("{hook}{}", word(40)), &format!("{hook}••••")),
        ];
        for (text, shown) in table {
            assert_eq!(mask(text), shown);
        }
    }

    #[test]
    fn plain_prompts_stay_unchanged() {
        for text in [
            "why does the build fail on arm64?",
            "compass=north",
            "max_tokens=4096 is too small",
            "the password is wrong",
            "https://example.com:8080/a@b",
            "git@github.com:me/repo.git",
            "sk-learn",
            "see src/token.rs:12",
            "task-force",
            "glob-pattern-matching-for-paths",
            "a: b",
            "12:30:45",
            "ghp_short",
            "token: what does it mean",
            "Password: should it be asked for?",
            "secret: iOS",
            "the secret: ",
            "größer ist das Passwort nicht: ü://ä:ö",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    #[test]
    fn no_secret_is_within_another() {
        let text = format!("password=ghp_{} and sk-ant-{}", word(36), word(20));
        assert_eq!(mask(&text), "password=•••• and ••••");
    }

    #[test]
    fn a_sensitive_key_is_recognised_in_any_spelling() {
        for key in [
            "password",
            "DB_PASSWORD",
            "authToken",
            "apiKey",
            "api-key",
            "client_secret",
            "credentials",
            "privateKey",
            "private-key",
        ] {
            assert!(is_sensitive_key(key), "{key}");
        }
        for key in ["tokenCount", "passage", "display", "keyboard", "contentHash", "__proto__", ""]
        {
            assert!(!is_sensitive_key(key), "{key}");
        }
    }

    #[test]
    fn only_strings_with_a_secret_change_in_a_json_text() {
        let token = format!("ghp_{}", word(36));
        let inner = format!(r#"{{"b": 1e2,"display":"use {token}","authToken":"x"}}"#);
        let json = format!(
            r#"{{"summary":{{"display":"use {token} \u00e9"}},"rawLine":{},"password":["kept", {{"a":"\ud800"}}],"tokens":{{"input":3}},"apiKey":"x","offset":9}}"#,
            serde_json::json!(inner)
        );
        let wanted = format!(
            r#"{{"summary":{{"display":"use •••• é"}},"rawLine":{},"password":["kept", {{"a":"\ud800"}}],"tokens":{{"input":3}},"apiKey":"••••","offset":9}}"#,
            serde_json::json!(r#"{"b": 1e2,"display":"use ••••","authToken":"••••"}"#)
        );
        assert_eq!(String::from_utf8(mask_json(json.as_bytes())).unwrap(), wanted);
    }
}
