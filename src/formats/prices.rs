//! The prices of models, as LiteLLM's `model_prices_and_context_window.json` has them, and the cost
//! of a response.
//!
//! The program contains the Claude models of that file; `make prices` renews them.
//! Invariant: pure. Costs are whole numbers, so that the order of a sum does not change it.
//! Known weakness: searches of the web, which Anthropic charges for apart, are not priced; the
//! higher prices of a cloud in one region are known with a table of the user alone.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::json::{Raw, text};
use super::transcript::{Response, Usage};

/// Made by `make prices`.
const OF_THE_PROGRAM: &[u8] = include_bytes!("prices.json");

/// How many units of costs a US dollar has.
const UNITS: f64 = 1e12;

/// The highest price of a token, in US dollars, and the highest factor. A number above them, or
/// below zero, is no price.
const MAX_USD: f64 = 1000.0;
const MAX_FACTOR: f64 = 100.0;

/// How many units of factors one has.
const FACTOR_UNITS: u32 = 1000;

/// The prompts from which a model has other prices, by the names in the table.
const LONG_PROMPTS: [(u64, &str); 2] =
    [(200_000, "_above_200k_tokens"), (100_000, "_above_100k_tokens")];

/// An amount of money, exact up to 18 million dollars, and not above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost(u64);

impl Cost {
    pub(crate) fn add(&mut self, other: Cost) {
        self.0 = self.0.saturating_add(other.0);
    }

    /// Takes away what was added before.
    pub(crate) fn subtract(&mut self, other: Cost) {
        self.0 = self.0.saturating_sub(other.0);
    }

    pub(crate) fn usd(self) -> f64 {
        self.0 as f64 / UNITS
    }
}

/// See the module.
pub(crate) struct Prices {
    /// By the name in the table.
    by_name: HashMap<String, Price>,
    /// The name in the table, by the name without provider, date and version.
    by_model: HashMap<String, String>,
    date: Option<String>,
}

/// The prices of a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Price {
    short: Rates,
    /// For prompts of more tokens than this.
    long: Option<(u64, Rates)>,
    /// For responses of the fast mode, and for those that were computed in the United States.
    fast_factor: u128,
    us_factor: u128,
}

/// Units for a token.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rates {
    input: u128,
    output: u128,
    cache_read: u128,
    cache_write: u128,
    cache_write_hour: u128,
}

/// Terms that change the price of a response, beside its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Terms {
    pub(crate) is_fast: bool,
    pub(crate) is_us: bool,
}

impl Prices {
    /// Returns the prices that the program contains.
    pub(crate) fn built_in() -> Prices {
        Prices::parse(OF_THE_PROGRAM).expect("a test parses it")
    }

    /// Parses a table of LiteLLM. Entries without prices for tokens are skipped.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, or no entry has prices; the message says which.
    pub(crate) fn parse(json: &[u8]) -> Result<Prices, String> {
        let json = str::from_utf8(json).map_err(|error| error.to_string())?;
        let table: Object = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let source = object(table.get("_source").copied());
        let mut prices = Prices {
            by_name: HashMap::new(),
            by_model: HashMap::new(),
            date: text(source.get("date").copied()).map(Cow::into_owned),
        };
        let mut ranks = HashMap::new();
        for (name, entry) in &table {
            let entry = object(Some(entry));
            let Some(price) = Price::of(&entry) else { continue };
            let model = model_of(name);
            let rank = rank(name, &entry);
            if ranks.get(&model).is_none_or(|known| rank < *known) {
                ranks.insert(model.clone(), rank);
                prices.by_model.insert(model, name.clone());
            }
            prices.by_name.insert(name.clone(), price);
        }
        if prices.by_name.is_empty() {
            return Err("no entry has an `input_cost_per_token`".to_owned());
        }
        Ok(prices)
    }

    /// When the prices were taken from their source; absent for a table of the user.
    pub(crate) fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Returns the price of a model: that of its exact name, else of the same model elsewhere.
    pub(crate) fn find(&self, name: &str) -> Option<&Price> {
        self.by_name.get(name).or_else(|| self.by_name.get(self.by_model.get(&model_of(name))?))
    }

    /// Returns the cost of a response, if its model has a price.
    pub(crate) fn cost(&self, response: &Response) -> Option<Cost> {
        let price = self.find(response.model.as_deref()?)?;
        Some(price.cost(response.usage.as_ref()?, response.terms))
    }
}

/// Values as they were written, since the table has entries of many shapes.
type Object<'a> = HashMap<String, &'a RawValue>;

/// Returns an object's values; none for anything else.
fn object(raw: Raw) -> Object {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn number(object: &Object, key: &str) -> Option<f64> {
    object.get(key)?.get().parse().ok().filter(|number: &f64| number.is_finite())
}

impl Price {
    fn of(entry: &Object) -> Option<Price> {
        let rate = |key: &str| {
            let usd = number(entry, key).filter(|usd| (0.0..=MAX_USD).contains(usd))?;
            Some((usd * UNITS).round() as u128)
        };
        let input = rate("input_cost_per_token").filter(|rate| *rate > 0)?;
        let factors = object(entry.get("provider_specific_entry").copied());
        let factor = |name: &str| {
            let factor = number(&factors, name).filter(|it| (0.0..=MAX_FACTOR).contains(it));
            (factor.unwrap_or(1.0) * f64::from(FACTOR_UNITS)).round() as u128
        };
        // Anthropic's factors, where the table leaves them out.
        let short = Rates {
            input,
            output: rate("output_cost_per_token")?,
            cache_read: rate("cache_read_input_token_cost").unwrap_or(input / 10),
            cache_write: rate("cache_creation_input_token_cost").unwrap_or(input * 5 / 4),
            cache_write_hour: rate("cache_creation_input_token_cost_above_1hr")
                .unwrap_or(input * 2),
        };
        let long = LONG_PROMPTS.iter().find_map(|(tokens, suffix)| {
            let rate = |key: &str| rate(&format!("{key}{suffix}"));
            let input = rate("input_cost_per_token")?;
            let scaled = |short_rate: u128| short_rate * input / short.input;
            let or_scaled = |key: &str, short| rate(key).unwrap_or_else(|| scaled(short));
            let rates = Rates {
                input,
                output: rate("output_cost_per_token").unwrap_or(short.output),
                cache_read: or_scaled("cache_read_input_token_cost", short.cache_read),
                cache_write: or_scaled("cache_creation_input_token_cost", short.cache_write),
                cache_write_hour: or_scaled(
                    "cache_creation_input_token_cost_above_1hr",
                    short.cache_write_hour,
                ),
            };
            Some((*tokens, rates))
        });
        Some(Price { short, long, fast_factor: factor("fast"), us_factor: factor("us") })
    }

    /// Returns the cost of a response. A long prompt has its prices for all of its tokens.
    pub(crate) fn cost(&self, usage: &Usage, terms: Terms) -> Cost {
        let prompt = usage.input + usage.cache_read + usage.cache_write;
        let long = self.long.as_ref().filter(|(tokens, _)| prompt > *tokens);
        let rates = long.map_or(&self.short, |(_, rates)| rates);
        let write = usage.cache_write - usage.cache_write_hour;
        let cost = u128::from(usage.input) * rates.input
            + u128::from(usage.output) * rates.output
            + u128::from(usage.cache_read) * rates.cache_read
            + u128::from(write) * rates.cache_write
            + u128::from(usage.cache_write_hour) * rates.cache_write_hour;
        let times = |is_due, cost: u128, factor| match is_due {
            true => cost * factor / u128::from(FACTOR_UNITS),
            false => cost,
        };
        let cost = times(terms.is_fast, cost, self.fast_factor);
        let cost = times(terms.is_us, cost, self.us_factor);
        Cost(u64::try_from(cost).unwrap_or(u64::MAX))
    }
}

/// Returns how well an entry stands for its model in general, the best first: as Anthropic sells
/// it, as a cloud does anywhere, as one does in a region; the shortest name, the latest date.
fn rank<'a>(name: &'a str, entry: &Object) -> (u8, usize, Reverse<&'a str>) {
    let begins = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    let rank = match text(entry.get("litellm_provider").copied()).as_deref() {
        Some("anthropic") => 0,
        _ if begins(&["anthropic.", "global.anthropic.", "claude-"]) => 1,
        _ if begins(&["vertex_ai/"]) => 2,
        _ => 3,
    };
    (rank, name.len(), Reverse(name))
}

/// Returns the model that a name means, without provider, region, date, version and variant:
/// `us.anthropic.claude-opus-4-1-20250805-v1:0` is `claude-opus-4-1`, and so is
/// `claude-opus-4-1@20250805[1m]`.
fn model_of(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.rsplit_once("anthropic.").map_or(name, |(_, model)| model);
    let name = name.split(['[', '@']).next().unwrap_or(name);
    let name = name.rsplit_once("-v").filter(|(_, it)| is_version(it)).map_or(name, |(it, _)| it);
    let is_date = |text: &str| text == "latest" || (text.len() == 8 && is_digits(text));
    let name = name.rsplit_once('-').filter(|(_, it)| is_date(it)).map_or(name, |(it, _)| it);
    name.replace('.', "-")
}

/// Whether a text is a version of Bedrock's, such as `1` or `2:0`.
fn is_version(text: &str) -> bool {
    text.split(':').all(is_digits)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with round prices, in dollars for a million tokens.
    fn table() -> Prices {
        let json = br#"{
            "sample_spec": {"input_cost_per_token": "a number", "mode": "chat"},
            "claude-plain-1": {"litellm_provider": "anthropic", "input_cost_per_token": 4e-06,
                "output_cost_per_token": 2e-05, "cache_read_input_token_cost": 5e-07,
                "cache_creation_input_token_cost": 6e-06,
                "cache_creation_input_token_cost_above_1hr": 9e-06,
                "provider_specific_entry": {"fast": 2, "us": 1.1}},
            "us.anthropic.claude-plain-1-v1:0": {"litellm_provider": "bedrock_converse",
                "input_cost_per_token": 5e-06, "output_cost_per_token": 3e-05},
            "claude-long-2-20250101": {"litellm_provider": "anthropic",
                "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-05,
                "input_cost_per_token_above_200k_tokens": 2e-06,
                "output_cost_per_token_above_200k_tokens": 1.5e-05,
                "cache_read_input_token_cost_above_200k_tokens": 3e-07},
            "claude-image": {"input_cost_per_image": 1.0}
        }"#;
        Prices::parse(json).unwrap()
    }

    const MILLION: u64 = 1_000_000;

    /// Millions of tokens: input, output, read from and written to the cache, of that for an hour.
    #[track_caller]
    fn check(model: &str, millions: [u64; 5], terms: Terms, usd: f64) {
        let [input, output, cache_read, cache_write, cache_write_hour] =
            millions.map(|count| count * MILLION);
        let usage = Usage { input, output, cache_read, cache_write, cache_write_hour };
        let prices = table();
        let price = prices.find(model).expect("the model has a price");
        assert_eq!(price.cost(&usage, terms).usd(), usd, "{model} {millions:?}");
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let plain = Terms::default();
        check("claude-plain-1", [1, 0, 0, 0, 0], plain, 4.0);
        check("claude-plain-1", [0, 1, 0, 0, 0], plain, 20.0);
        check("claude-plain-1", [0, 0, 1, 0, 0], plain, 0.5);
        check("claude-plain-1", [0, 0, 0, 1, 0], plain, 6.0);
        check("claude-plain-1", [0, 0, 0, 1, 1], plain, 9.0);
        check("claude-plain-1", [1, 2, 3, 4, 1], plain, 4.0 + 40.0 + 1.5 + 18.0 + 9.0);
        check("claude-plain-1", [1, 1, 0, 0, 0], Terms { is_fast: true, is_us: false }, 48.0);
        check("claude-plain-1", [1, 1, 0, 0, 0], Terms { is_fast: true, is_us: true }, 52.8);
    }

    #[test]
    fn prices_that_the_table_leaves_out_follow_from_that_of_input() {
        check("us.anthropic.claude-plain-1-v1:0", [0, 0, 1, 0, 0], Terms::default(), 0.5);
        check("us.anthropic.claude-plain-1-v1:0", [0, 0, 0, 4, 0], Terms::default(), 25.0);
        check("us.anthropic.claude-plain-1-v1:0", [0, 0, 0, 1, 1], Terms::default(), 10.0);
    }

    #[test]
    fn a_prompt_over_200_000_tokens_has_other_prices_for_all_of_them() {
        let cost = |input, cache_read, output| {
            let usage = Usage { input, cache_read, output, ..Usage::default() };
            let prices = table();
            prices.find("claude-long-2").unwrap().cost(&usage, Terms::default()).usd()
        };
        assert_eq!(cost(100_000, 100_000, 1000), 0.1 + 0.01 + 0.01);
        assert_eq!(cost(100_001, 100_000, 1000), 0.200_002 + 0.03 + 0.015);
    }

    #[track_caller]
    fn check_name(name: &str, wanted: Option<&str>) {
        let prices = table();
        let found = prices.find(name);
        assert_eq!(found, wanted.map(|wanted| &prices.by_name[wanted]), "{name}");
    }

    #[test]
    fn a_name_with_a_date_a_variant_or_a_provider_finds_its_price() {
        for name in [
            "claude-plain-1",
            "claude-plain-1[1m]",
            "claude-plain-1-20251001",
            "claude-plain-1-20251001[1m]",
            "claude-plain-1@20251001",
            "claude-plain-1-latest",
            "claude-plain.1",
            "anthropic/claude-plain-1",
            "openrouter/anthropic/claude-plain-1",
            "eu.anthropic.claude-plain-1-20251001-v1:0",
            "anthropic.claude-plain-1-v2",
            "vertex_ai/claude-plain-1@default",
        ] {
            check_name(name, Some("claude-plain-1"));
        }
        let in_the_us = "us.anthropic.claude-plain-1-v1:0";
        check_name(in_the_us, Some(in_the_us));
        check_name("claude-long-2", Some("claude-long-2-20250101"));
        for other in ["claude-plain", "claude-plain-12", "claude-next", "claude-image", "gpt", ""] {
            check_name(other, None);
        }
    }

    #[test]
    fn a_table_without_prices_is_refused() {
        let refused = |json: &str| Prices::parse(json.as_bytes()).err();
        assert!(refused("[]").unwrap().contains("expected a map"));
        assert!(refused("{").unwrap().contains("EOF"));
        let message = "no entry has an `input_cost_per_token`";
        assert_eq!(refused("{\"a\": {\"b\": 1}}").as_deref(), Some(message));
    }

    #[test]
    fn the_program_knows_the_models_of_claude_code() {
        let prices = Prices::built_in();
        assert!(prices.date().is_some_and(|date| date.len() == "2026-11-25".len()));
        for (name, input_usd) in [
            ("claude-opus-5", 5.0),
            ("claude-opus-4-1-20250805", 15.0),
            ("claude-opus-4-20250514", 15.0),
            ("claude-sonnet-4-5-20250929", 3.0),
            ("claude-sonnet-4-20250514", 3.0),
            ("claude-haiku-4-5-20251001", 1.0),
            ("claude-3-7-sonnet-20250219", 3.0),
            ("claude-3-5-haiku-20241022", 0.8),
            ("us.anthropic.claude-opus-4-6-v1", 5.0),
            ("claude-3-haiku-20240307", 0.25),
        ] {
            let usage = Usage { input: 100_000, ..Usage::default() };
            let price = prices.find(name).unwrap_or_else(|| panic!("{name} has a price"));
            assert_eq!(price.cost(&usage, Terms::default()).usd(), input_usd / 10.0, "{name}");
        }
    }

    #[test]
    fn a_price_that_cannot_be_one_is_none() {
        let json = br#"{
            "claude-dear": {"input_cost_per_token": 1e300, "output_cost_per_token": 1e300},
            "claude-owed": {"input_cost_per_token": 1e-06, "output_cost_per_token": -1e-06},
            "claude-fine": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06,
                "input_cost_per_token_above_200k_tokens": 1e300,
                "provider_specific_entry": {"fast": 1e300}}}"#;
        let prices = Prices::parse(json).unwrap();
        let is_priced = |name: &str| prices.find(name).is_some();
        assert_eq!(
            ["claude-dear", "claude-owed", "claude-fine"].map(is_priced),
            [false, false, true]
        );
    }
}
