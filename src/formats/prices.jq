# From LiteLLM's `model_prices_and_context_window.json`: the Claude models of Anthropic, and those
# of Bedrock and Vertex AI at prices that hold anywhere, since Anthropic's own leave out models that
# are retired. One a line, with the keys that `prices.rs` reads.

def is_wanted:
  (.value.input_cost_per_token // 0) > 0
  and (.value.litellm_provider == "anthropic"
    or (.key | startswith("anthropic.claude", "vertex_ai/claude-3")));

def is_read:
  IN("litellm_provider", "provider_specific_entry")
  or test("^((input|output)_cost_per_token|cache_(read|creation)_input_token_cost)"
    + "(_above_(1hr|[0-9]+k_tokens))*$");

"{\n\"_source\": \({date: $date} | tojson)"
+ ([to_entries[] | select(is_wanted)
    | ",\n\(.key | tojson): \(.value | with_entries(select(.key | is_read)) | tojson)"] | join(""))
+ "\n}"
