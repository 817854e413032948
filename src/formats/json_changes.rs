//! Compares two states of a JSON file: the scalars that differ, each with its JSON Pointer.
//!
//! Arrays compare by index. A scalar that becomes an object or array counts as removed, and the
//! scalars inside as added; the reverse likewise.
//! Invariant: pure; the size of the result has a bound, whatever the file contains.

use serde_json::{Map, Value};

use crate::event::ValueChange;

/// Number of changes that are listed.
const MAX_CHANGES: usize = 20;

/// Number of characters of a string that are listed.
const MAX_STRING_CHARS: usize = 200;

/// A change at a longer path is counted, not listed: a pointer that is cut would be wrong.
const MAX_PATH_BYTES: usize = 500;

/// The differences between two values.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// Those closest to the root, which has the totals, with details below; then by position.
    pub(crate) listed: Vec<ValueChange>,
    /// How many more there are.
    pub(crate) more: usize,
}

/// Parses a file; absent if it is not JSON, such as one that is half written.
pub(crate) fn parse(file: &[u8]) -> Option<Value> {
    serde_json::from_slice(file).ok()
}

/// Compares two values.
pub(crate) fn compare(old: &Value, new: &Value) -> Changes {
    let mut walk = Walk::default();
    walk.value(Some(old), Some(new));
    let more = walk.count - walk.found.len();
    Changes { listed: walk.found.into_iter().map(|(_, change)| change).collect(), more }
}

/// A walk through two values at once.
#[derive(Default)]
struct Walk {
    /// JSON Pointer of the present position.
    path: String,
    depth: usize,
    /// Changes with their depth, in its order.
    found: Vec<(usize, ValueChange)>,
    count: usize,
}

impl Walk {
    fn value(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            _ if old == new => {}
            (Some(Value::Object(old)), Some(Value::Object(new))) => self.object(old, new),
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.array(old, new),
            (Some(Value::Object(old)), _) => {
                self.object(old, &Map::new());
                self.value(None, new);
            }
            (Some(Value::Array(old)), _) => {
                self.array(old, &[]);
                self.value(None, new);
            }
            (_, Some(Value::Object(new))) => {
                self.value(old, None);
                self.object(&Map::new(), new);
            }
            (_, Some(Value::Array(new))) => {
                self.value(old, None);
                self.array(&[], new);
            }
            _ => self.scalar(old, new),
        }
    }

    fn object(&mut self, old: &Map<String, Value>, new: &Map<String, Value>) {
        let added = new.keys().filter(|key| !old.contains_key(*key));
        for key in old.keys().chain(added) {
            // The escapes of RFC 6901, section 3; `~` first, because the other escape contains it.
            self.child(&key.replace('~', "~0").replace('/', "~1"), old.get(key), new.get(key));
        }
    }

    fn array(&mut self, old: &[Value], new: &[Value]) {
        for index in 0..old.len().max(new.len()) {
            self.child(&index.to_string(), old.get(index), new.get(index));
        }
    }

    fn child(&mut self, token: &str, old: Option<&Value>, new: Option<&Value>) {
        let parent_bytes = self.path.len();
        self.path.push('/');
        self.path.push_str(token);
        self.depth += 1;
        self.value(old, new);
        self.depth -= 1;
        self.path.truncate(parent_bytes);
    }

    fn scalar(&mut self, from: Option<&Value>, to: Option<&Value>) {
        self.count += 1;
        let place = self.found.partition_point(|(depth, _)| *depth <= self.depth);
        if place < MAX_CHANGES && self.path.len() <= MAX_PATH_BYTES {
            let path = self.path.clone();
            let change = ValueChange { path, from: from.map(cut), to: to.map(cut) };
            self.found.insert(place, (self.depth, change));
            self.found.truncate(MAX_CHANGES);
        }
    }
}

/// Copies a scalar. A long string is cut and ends in an ellipsis.
fn cut(scalar: &Value) -> Value {
    let Value::String(text) = scalar else { return scalar.clone() };
    match text.char_indices().nth(MAX_STRING_CHARS) {
        Some((end, _)) => Value::String(format!("{}…", &text[..end])),
        None => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(old: Value, new: Value, wanted: Value) {
        let changes = compare(&old, &new);
        assert_eq!(serde_json::to_value(changes.listed).unwrap(), wanted);
        assert_eq!(changes.more, 0);
    }

    #[test]
    fn a_scalar_that_differs_is_listed_with_both_values() {
        check(
            json!({"totalSessions": 61, "totalMessages": 9120}),
            json!({"totalSessions": 62, "totalMessages": 9120}),
            json!([{"path": "/totalSessions", "from": 61, "to": 62}]),
        );
        check(
            json!({"a": true, "b": null, "c": 1, "d": "x"}),
            json!({"a": false, "b": 0, "c": 1.5, "d": null}),
            json!([
                {"path": "/a", "from": true, "to": false},
                {"path": "/b", "from": null, "to": 0},
                {"path": "/c", "from": 1, "to": 1.5},
                {"path": "/d", "from": "x", "to": null},
            ]),
        );
    }

    #[test]
    fn equal_values_have_no_changes() {
        check(json!({"a": [1, {"b": null}]}), json!({"a": [1, {"b": null}]}), json!([]));
        check(json!({"a": {}}), json!({"b": []}), json!([]));
    }

    #[test]
    fn a_key_that_was_or_is_absent_has_one_value() {
        check(
            json!({"gone": null}),
            json!({"new": 1}),
            json!([{"path": "/gone", "from": null}, {"path": "/new", "to": 1}]),
        );
    }

    #[test]
    fn arrays_compare_by_index() {
        check(
            json!([[1, 2], 3]),
            json!([[1, 4, 5], 3]),
            json!([{"path": "/0/1", "from": 2, "to": 4}, {"path": "/0/2", "to": 5}]),
        );
        check(json!([1, 2]), json!([1]), json!([{"path": "/1", "from": 2}]));
    }

    #[test]
    fn a_change_of_kind_is_a_removal_and_an_addition() {
        check(
            json!({"a": 1}),
            json!({"a": {"b": 2}}),
            json!([{"path": "/a", "from": 1}, {"path": "/a/b", "to": 2}]),
        );
        check(
            json!({"a": [1, 2]}),
            json!({"a": "x"}),
            json!([
                {"path": "/a", "to": "x"},
                {"path": "/a/0", "from": 1},
                {"path": "/a/1", "from": 2},
            ]),
        );
        check(
            json!({"a": [1]}),
            json!({"a": {"0": 1}}),
            json!([{"path": "/a/0", "from": 1}, {"path": "/a/0", "to": 1}]),
        );
    }

    #[test]
    fn the_whole_file_can_be_a_scalar() {
        check(json!(null), json!(7), json!([{"path": "", "from": null, "to": 7}]));
    }

    #[test]
    fn keys_are_escaped_as_in_rfc_6901() {
        check(
            json!({}),
            json!({"a/b": {"m~n": 1}, "": 2, "~1": 3}),
            json!([
                {"path": "/", "to": 2},
                {"path": "/~01", "to": 3},
                {"path": "/a~1b/m~0n", "to": 1},
            ]),
        );
    }

    #[test]
    fn a_long_string_is_cut_at_a_character() {
        let long = "é".repeat(MAX_STRING_CHARS);
        check(
            json!([long, format!("{long}!")]),
            json!([0, 0]),
            json!([
                {"path": "/0", "from": long, "to": 0},
                {"path": "/1", "from": format!("{long}…"), "to": 0},
            ]),
        );
    }

    #[test]
    fn twenty_changes_are_listed_and_those_closest_to_the_root_first() {
        let days: Vec<Value> = (0..30).map(|day| json!({"count": day})).collect();
        let old = json!({"days": [], "total": 1});
        let changes = compare(&old, &json!({"days": days, "total": 2}));
        let paths: Vec<&str> = changes.listed.iter().map(|change| &change.path[..]).collect();
        assert_eq!(paths[..3], ["/total", "/days/0/count", "/days/1/count"]);
        assert_eq!((paths.len(), changes.more), (20, 11));
    }

    #[test]
    fn a_change_at_a_very_long_path_is_only_counted() {
        let changes = compare(&json!({}), &json!({"k".repeat(500): 1, "k".repeat(499): 2}));
        assert_eq!(changes.listed[0].to, Some(json!(2)));
        assert_eq!((changes.listed.len(), changes.more), (1, 1));
    }

    /// Scalars by their JSON Pointers.
    type Flat = BTreeMap<String, Value>;

    fn flatten(value: &Value, path: &str, flat: &mut Flat) {
        let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
        match value {
            Value::Object(map) => {
                map.iter()
                    .for_each(|(key, v)| flatten(v, &format!("{path}/{}", escape(key)), flat));
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, v)| flatten(v, &format!("{path}/{i}"), flat));
            }
            scalar => {
                flat.insert(path.to_owned(), scalar.clone());
            }
        }
    }

    fn flat(value: &Value) -> Flat {
        let mut flat = Flat::new();
        flatten(value, "", &mut flat);
        flat
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..4).prop_map(Value::from),
            "[x~/é]{0,2}".prop_map(Value::from),
        ];
        // Few keys and short arrays, so that two values have paths in common.
        scalar.prop_recursive(4, 48, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[01a/~]{0,2}", inner, 0..6).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_changes_turn_the_old_scalars_into_the_new(old in any_json(), new in any_json()) {
            let (before, after) = (flat(&old), flat(&new));
            let changes = compare(&old, &new);
            let mut applied = before.clone();
            for change in &changes.listed {
                prop_assert!(change.from != change.to);
                if let Some(from) = &change.from {
                    prop_assert_eq!(before.get(&change.path), Some(from));
                    applied.remove(&change.path);
                }
            }
            for change in &changes.listed {
                if let Some(to) = &change.to {
                    prop_assert_eq!(after.get(&change.path), Some(to));
                    applied.insert(change.path.clone(), to.clone());
                }
            }
            if changes.more == 0 {
                prop_assert_eq!(applied, after);
            } else {
                prop_assert_eq!(changes.listed.len(), MAX_CHANGES);
            }
        }
    }
}
