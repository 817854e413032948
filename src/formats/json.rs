//! Picks keys out of JSON objects of any shape, and decodes strings as JavaScript writes them.
//!
//! The formats of Claude Code are internal and change: a key may be absent, have another type or
//! occur twice (the last one counts, as in JavaScript). Values are therefore kept as raw JSON and
//! interpreted one by one, so that a value of another type is absent instead of an error.
//!
//! Invariant: pure; each byte is parsed once, but for the values that are looked into.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::event::print_time;

/// Decodes like `String::from_utf8_lossy`, which takes four times as long for valid UTF-8, that is
/// for nearly every line.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Whether bytes without a line end are a complete record: a JSON object cannot be the beginning of
/// a longer one. NULs around it do not count.
pub(crate) fn is_record(bytes: &[u8]) -> bool {
    let text = lossy(bytes);
    let text = text.trim_matches([' ', '\t', '\r', '\0']);
    text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// A value as it was written; absent if the key is, or if the value is `null`.
pub(crate) type Raw<'a> = Option<&'a RawValue>;

/// Defines a struct of the named keys of an object and how it is deserialised: other keys are
/// skipped, and JSON that is no object gives the default. A field is raw JSON unless it has a type.
/// Keys are byte strings, since `match` compiles those to a decision tree.
macro_rules! keys {
    (@type) => { Raw<'a> };
    (@type $type:ty) => { $type };
    ($(#[$doc:meta])* $name:ident { $($field:ident: $key:literal $(=> $type:ty)?,)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name<'a> {
            $($field: keys!(@type $($type)?),)*
        }

        impl<'a> serde::Deserialize<'a> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
                struct Keys;

                impl<'a> serde::de::Visitor<'a> for Keys {
                    type Value = $name<'a>;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                        formatter.write_str("a JSON object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'a>>(
                        self,
                        mut map: A,
                    ) -> Result<$name<'a>, A::Error> {
                        let mut object = $name::default();
                        while let Some($crate::formats::json::Key(key)) = map.next_key()? {
                            match key.as_bytes() {
                                $($key => object.$field = map.next_value()?,)*
                                _ => _ = map.next_value::<serde::de::IgnoredAny>()?,
                            }
                        }
                        Ok(object)
                    }

                    fn visit_seq<A: serde::de::SeqAccess<'a>>(
                        self,
                        mut seq: A,
                    ) -> Result<Self::Value, A::Error> {
                        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                        Ok(Self::Value::default())
                    }

                    $crate::formats::json::absent!(
                        visit_bool: bool,
                        visit_u64: u64,
                        visit_i64: i64,
                        visit_f64: f64,
                        visit_str: &str
                    );
                }

                deserializer.deserialize_any(Keys)
            }
        }
    };
}
pub(crate) use keys;

/// Gives the default for values of these types, in a visitor.
macro_rules! absent {
    ($($method:ident: $type:ty),*) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        $(fn $method<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*
    };
}
pub(crate) use absent;

/// A key, borrowed unless it has escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

/// Returns the text of a string; absent for any other value.
pub(crate) fn text(raw: Raw) -> Option<Cow<str>> {
    let inner = raw?.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    Some(Cow::Owned(unescape(inner, usize::MAX)))
}

/// Returns the first `max_chars` characters of a string's text, without decoding the rest.
pub(crate) fn excerpt(raw: Raw, max_chars: usize) -> Option<String> {
    let inner = raw?.get().strip_prefix('"')?.strip_suffix('"')?;
    Some(unescape(inner, max_chars))
}

/// Returns a number that is not negative; fractions are cut off.
pub(crate) fn number(raw: Raw) -> Option<u64> {
    let text = raw?.get();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number >= 0.0 && number <= 2_f64.powi(53)).then_some(number as u64)
    })
}

/// Serialises a time as events have it.
pub(crate) fn rfc3339<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(print_time).serialize(serializer)
}

/// Whether the value is `true`.
pub(crate) fn is_true(raw: Raw) -> bool {
    raw.is_some_and(|raw| raw.get() == "true")
}

/// Replaces halves of surrogate pairs by U+FFFD in JSON: serde_json refuses them where a string is
/// decoded. Returns nothing if there are none.
pub(crate) fn without_half_surrogates(json: &str) -> Option<String> {
    let mut mended = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(backslash) = memchr::memchr(b'\\', &json.as_bytes()[at..]) {
        let start = at + backslash;
        let mut chars = json[start + 1..].chars();
        let is_half = escaped(&mut chars) == char::REPLACEMENT_CHARACTER;
        at = json.len() - chars.as_str().len();
        if is_half {
            mended.push_str(&json[kept..start]);
            mended.push('\u{FFFD}');
            kept = at;
        }
    }
    (kept > 0).then(|| mended + &json[kept..])
}

/// Decodes the inside of a valid JSON string. Half a surrogate pair, which JavaScript writes for a
/// cut emoji, becomes U+FFFD.
fn unescape(inner: &str, max_chars: usize) -> String {
    let mut text = String::with_capacity(inner.len().min(max_chars));
    let mut chars = inner.chars();
    for _ in 0..max_chars {
        match chars.next() {
            Some('\\') => text.push(escaped(&mut chars)),
            Some(other) => text.push(other),
            None => break,
        }
    }
    text
}

/// Decodes what follows a backslash.
fn escaped(chars: &mut std::str::Chars) -> char {
    match chars.next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('u') => unicode(chars),
        other => other.unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

/// Decodes the four digits of `\uXXXX`, and a second escape if both are a surrogate pair.
fn unicode(chars: &mut std::str::Chars) -> char {
    let first = digits(chars);
    let is_high = (0xD800..0xDC00).contains(&first);
    let mut ahead = chars.clone();
    if is_high && ahead.next() == Some('\\') && ahead.next() == Some('u') {
        let second = digits(&mut ahead);
        if (0xDC00..0xE000).contains(&second) {
            *chars = ahead;
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
    }
    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn digits(chars: &mut std::str::Chars) -> u32 {
    let digit = |character: char| character.to_digit(16).unwrap_or_default();
    chars.by_ref().take(4).fold(0, |code, character| code * 16 + digit(character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    keys! {
        Sample {
            a: b"a",
            b: b"b" => Inner<'a>,
        }
    }

    keys! {
        Inner {
            c: b"c",
        }
    }

    #[track_caller]
    fn check(json: &str, a: Option<&str>, c: Option<&str>) {
        let sample: Sample = serde_json::from_str(json).unwrap();
        assert_eq!(sample.a.map(RawValue::get), a, "{json}");
        assert_eq!(sample.b.c.map(RawValue::get), c, "{json}");
    }

    #[test]
    fn keys_are_picked_whatever_the_types_are() {
        check(r#"{"a": 1.50 ,"b":{"c":[1, {}],"d":2},"e":{}}"#, Some("1.50"), Some("[1, {}]"));
        check(r#"{"a":"x","a":null,"\u0062":{"c":"\ud83d"}}"#, None, Some(r#""\ud83d""#));
        for other in ["null", "1", "-1", "1.5", "true", "\"x\"", "[{\"c\":1}]"] {
            check(&format!("{{\"b\":{other}}}"), None, None);
        }
        check("[1]", None, None);
        assert!(serde_json::from_str::<Sample>("{\"a\":1}{").is_err());
    }

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn only_strings_have_a_text() {
        let of = |json| text(Some(raw(json)));
        assert_eq!(of(r#""a\"b\\\/\n\t\r\b\f""#).as_deref(), Some("a\"b\\/\n\t\r\u{8}\u{c}"));
        assert_eq!(of(r#""\ud83d\ude80 \ud83d \ude80 \u00e9""#).as_deref(), Some("🚀 � � é"));
        assert_eq!(of(r#""\ud83d\u0041""#).as_deref(), Some("�A"));
        for other in ["1", "null", "{}", "[\"x\"]"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(excerpt(Some(raw(r#""a\nbcd""#)), 3).as_deref(), Some("a\nb"));
    }

    #[test]
    fn numbers_are_whole_and_not_negative() {
        let of = |json| number(Some(raw(json)));
        assert_eq!([of("12"), of("12.9"), of("1e3")], [Some(12), Some(12), Some(1000)]);
        for other in ["-1", "1e300", "\"12\"", "null", "1.5e18"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_string_is_decoded_as_serde_json_decodes_it(string in any::<String>()) {
            let json = serde_json::to_string(&string).unwrap();
            let decoded = text(Some(raw(&json))).map(Cow::into_owned);
            prop_assert_eq!(decoded.as_ref(), Some(&string));
            let escaped: String = string
                .encode_utf16()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect();
            let json = format!("\"{escaped}\"");
            let decoded = text(Some(raw(&json))).map(Cow::into_owned);
            prop_assert_eq!(decoded, Some(string));
        }
    }

    #[test]
    fn a_whole_record_is_one_object_and_nothing_after_it() {
        for whole in ["{}", " {\"a\":[1]} ", "\0{\"a\":1}\0\0"] {
            assert!(is_record(whole.as_bytes()), "{whole}");
        }
        for half in ["", "{", "{\"a\":1", "{}{", "12", "[]", "{}x"] {
            assert!(!is_record(half.as_bytes()), "{half}");
        }
    }
}
