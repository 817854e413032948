//! The values of parameters: any query gives values within their bounds, or a refusal that says
//! why.
#![no_main]
#![allow(dead_code, unused_imports, unused_macros, reason = "a target uses a part of each module")]

#[path = "../../../src/event.rs"]
mod event;
#[path = "../../../src/hub.rs"]
mod hub;
#[path = "../../../src/wake.rs"]
mod wake;
#[path = "../../../src/http"]
mod http {
    pub(crate) mod answer;
    pub(crate) mod head;
    mod query;

    use answer::Refusal;
    use head::Head;

    pub(crate) fn check(head: &Head, offset: &str) {
        checked(query::limit(head), |limit| (1..=1000).contains(limit));
        checked(query::hours(head), |hours| (1..=876_000).contains(hours));
        checked(query::before(head), |before| before.is_none() || is_given(head, "before"));
        checked(query::since(head), |since| since.is_none() || is_given(head, "since"));
        checked(query::flag(head, "all", "bad_all"), |is_set| !is_set || is_given(head, "all"));
        checked(query::usage(head), |query| {
            (1..=3650).contains(&query.days) && !query.by.names().is_empty()
        });
        checked(query::filter(head), |filter| {
            filter.types.as_ref().is_none_or(|types| !types.is_empty())
                && filter.session.as_deref() != Some("")
        });
        let digits = offset.trim_start_matches('0');
        let spelled = query::offset(offset).map(|offset| offset.to_string());
        assert!(spelled.is_none_or(|it| it == digits || (it == "0" && digits.is_empty())));
    }

    fn is_given(head: &Head, name: &str) -> bool {
        head.parameter(name).is_some()
    }

    fn checked<T>(value: Result<T, Refusal>, is_within: impl Fn(&T) -> bool) {
        match value {
            Ok(value) => assert!(is_within(&value)),
            Err(refusal) => {
                assert!(refusal.status == 400 && refusal.code.starts_with("bad_"), "{refusal:?}");
                assert!(refusal.message.contains(": expected "), "{refusal:?}");
            }
        }
    }
}
#[path = "../../../src/report"]
mod report {
    pub(crate) mod metrics;
}
#[path = "../../../src/usage"]
mod usage {
    pub(crate) mod query;
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (query, offset) = input;
    if query.bytes().all(|byte| byte.is_ascii_graphic()) {
        let head = format!("GET /?{query} HTTP/1.1\r\nHost: h");
        http::check(&http::head::parse(head.as_bytes()).unwrap(), offset);
    }
});
