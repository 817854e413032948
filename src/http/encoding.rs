//! Whether a client takes an answer in the encoding `deflate`, the zlib format (RFC 9110, 8.4.1.2).
//!
//! Invariant: an encoding that the client refuses or does not name is not used.

use super::head::Head;

/// The only encoding of this server.
pub(super) const DEFLATE: &str = "deflate";

/// Returns whether the client takes `deflate`: by its name, or else by `*` (RFC 9110, 12.5.3).
pub(super) fn takes_deflate(head: &Head) -> bool {
    let weight = |wanted: &str| weight(head, "Accept-Encoding", wanted);
    weight(DEFLATE).or(weight("*")).is_some_and(|weight| weight > 0.0)
}

/// Returns the weight that a header such as `Accept` gives to a name, from 0 for one that is
/// refused to 1; absent if the header does not have the name.
pub(super) fn weight(head: &Head, header: &'static str, wanted: &str) -> Option<f32> {
    let items = head.headers(header).flat_map(|value| value.split(',')).map(item);
    let mut named = items.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    named.next().map(|(_, weight)| weight)
}

/// Splits `deflate;q=0.5` into the name and its weight, which is 0 if it is not a number.
fn item(text: &str) -> (&str, f32) {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let weight = parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then_some(value.trim())
    });
    (name.trim(), weight.map_or(1.0, |weight| weight.parse().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use crate::http::head::parse;

    use super::*;

    #[track_caller]
    fn check(headers: &str, wanted: bool) {
        let head = format!("GET / HTTP/1.1\r\nHost: localhost{headers}");
        assert_eq!(takes_deflate(&parse(head.as_bytes()).unwrap()), wanted, "{headers}");
    }

    #[test]
    fn deflate_is_used_if_the_client_takes_it() {
        check("", false);
        check("\r\nAccept-Encoding:", false);
        check("\r\nAccept-Encoding: deflate", true);
        check("\r\nAccept-Encoding: gzip, deflate, br, zstd", true);
        check("\r\nAccept-Encoding: gzip\r\nAccept-Encoding: Deflate", true);
        check("\r\nAccept-Encoding: gzip;q=1.0,deflate ; Q=0.001", true);
        check("\r\nAccept-Encoding: *", true);
        check("\r\nAccept-Encoding: gzip, br, *;q=0.1", true);
        check("\r\nAccept-Encoding: deflate, *;q=0", true);
    }

    #[test]
    fn an_encoding_that_is_refused_or_not_named_is_not_used() {
        check("\r\nAccept-Encoding: gzip", false);
        check("\r\nAccept-Encoding: identity", false);
        check("\r\nAccept-Encoding: xdeflate, deflate64", false);
        check("\r\nAccept-Encoding: deflate;q=0", false);
        check("\r\nAccept-Encoding: deflate; q=0.000, *", false);
        check("\r\nAccept-Encoding: *;q=0", false);
        check("\r\nAccept-Encoding: deflate;q=", false);
        check("\r\nAccept-Encoding: deflate;q=much", false);
        check("\r\nAccept-Encoding: deflate;q=NaN", false);
        check("\r\nAccept-Encoding: ,;,", false);
    }
}
