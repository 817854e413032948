use super::*;

/// Prints the parts of a line as `type class kind[name]:text, …`, one part a line.
fn shown(line: impl AsRef<[u8]>) -> String {
    let mut parts = Vec::new();
    each_part(line.as_ref(), |part| {
        parts.push(match part {
            Part::Malformed => "malformed".to_owned(),
            Part::Record(record) => {
                let blocks: Vec<String> = record.data().iter().map(block).collect();
                format!("{} {:?} {}", record.record_type, record.class, blocks.join(", "))
            }
        });
    });
    parts.join("\n")
}

fn block(data: &crate::event::BlockData) -> String {
    let mut shown = data.kind.to_owned();
    for detail in [&data.name, &data.tool_use_id, &data.denied].into_iter().flatten() {
        shown += &format!("[{detail}]");
    }
    if data.is_error {
        shown += "!";
    }
    if let Some(duration_ms) = data.duration_ms {
        shown += &format!("({duration_ms} ms)");
    }
    format!("{shown}:{}", data.text)
}

#[track_caller]
fn check(line: &str, wanted: &str) {
    assert_eq!(shown(line), wanted, "{line}");
}

#[test]
fn prompts_answers_and_tools() {
    check(
        r#"{"type":"user","message":{"role":"user","content":"run the tests"},"uuid":"u"}"#,
        "user Conversation prompt:run the tests",
    );
    check(
        r#"{"type":"user","message":{"content":[{"type":"text","text":"look"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]}}"#,
        "user Conversation prompt:look, prompt:[image]",
    );
    check(
        r#"{"type":"assistant","message":{"id":"m","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"Done."},{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"cargo test -q","description":"Run tests"}}]}}"#,
        "assistant Conversation thinking:hm, text:Done., tool_use[Bash][t1]:cargo test -q",
    );
    check(
        r#"{"type":"user","message":{"content":[{"tool_use_id":"t1","type":"tool_result","content":"Exit code 101\nfailed","is_error":true}]},"toolUseResult":"Error: Exit code 101"}"#,
        "user Conversation tool_result[t1]!:Exit code 101\nfailed",
    );
    check(
        r#"{"type":"user","message":{"content":[{"tool_use_id":"t1","type":"tool_result","content":[{"type":"text","text":"a"},{"type":"image","source":{"media_type":"image/png","data":"x"}},{"type":"text","text":"b"}]}]},"toolUseResult":{"durationMs":12,"x":[1]},"toolDenialKind":"user-rejected"}"#,
        "user Conversation tool_result[t1][user-rejected](12 ms):a\n[image/png]\nb",
    );
}

#[test]
fn tools_are_shown_by_what_says_most() {
    let tool = |name: &str, input: &str| {
        let line = format!(
            r#"{{"type":"assistant","message":{{"content":[{{"type":"tool_use","id":"t","name":"{name}","input":{input}}}]}}}}"#
        );
        shown(line).split_once("[t]:").unwrap().1.to_owned()
    };
    assert_eq!(tool("Edit", r#"{"file_path":"/a.rs","old_string":"x","new_string":"y"}"#), "/a.rs");
    assert_eq!(tool("Grep", r#"{"pattern":"parse\\(","path":"src"}"#), r"parse\(");
    assert_eq!(
        tool("Agent", r#"{"description":"Find callers","prompt":"Find …"}"#),
        "Find callers"
    );
    assert_eq!(tool("TaskUpdate", r#"{"taskId":"3","status":"completed"}"#), "#3 completed");
    assert_eq!(tool("mcp__db__query", r#"{"limit":5,"sql":"select 1"}"#), "select 1");
    assert_eq!(tool("mcp__db__list", r#"{"limit":5}"#), r#"{"limit":5}"#);
    assert_eq!([tool("X", "{}"), tool("X", "null"), tool("X", "[1]")], ["", "", "[1]"]);
    check(
        r#"{"type":"assistant","message":{"content":[{"type":"tool_use","id":"q","name":"AskUserQuestion","input":{"questions":[{"question":"Which database?","header":"DB"}]}}]}}"#,
        "assistant Conversation question[AskUserQuestion][q]:Which database?",
    );
    check(
        r##"{"type":"assistant","message":{"content":[{"type":"tool_use","id":"q","name":"ExitPlanMode","input":{"plan":"# Plan\n1. test"}}]}}"##,
        "assistant Conversation plan[ExitPlanMode][q]:# Plan\n1. test",
    );
}

#[test]
fn texts_that_no_person_typed_are_no_prompts() {
    let said = |text: &str, more: &str| {
        shown(format!(r#"{{"type":"user","message":{{"content":"{text}"}}{more}}}"#))
    };
    let injected = "user Injected ";
    for text in ["<system-reminder>x", "<local-command-caveat>Caveat: …", "Caveat: The messages"]
    {
        assert_eq!(said(text, ""), injected, "{text}");
    }
    assert_eq!(said("expanded", r#","isMeta":true"#), injected);
    assert_eq!(said("This session is being continued", r#","isCompactSummary":true"#), injected);
    let notice = |text: &str| format!("user Conversation notice:{text}");
    for (text, wanted) in [
        ("<command-name>/model</command-name>", "/model"),
        (
            "<command-message>review is running…</command-message>\\n\
             <command-name>/review</command-name>\\n<command-args>42 now</command-args>",
            "/review 42 now",
        ),
        ("<command-name>/clear</command-name>\\n<command-args></command-args>", "/clear"),
        ("<local-command-stdout>ok", "ok"),
        ("<local-command-stdout>a</local-command-stdout>", "a"),
        ("<local-command-stderr>no</local-command-stderr>", "no"),
        ("<bash-input>git status</bash-input>", "! git status"),
        ("<bash-stdout>a <b></bash-stdout><bash-stderr>c</bash-stderr>", "a <b>\nc"),
        ("<user-memory-input>use tabs</user-memory-input>", "# use tabs"),
    ] {
        assert_eq!(said(text, ""), notice(wanted));
    }
    let empty = "<local-command-stdout></local-command-stdout>";
    assert_eq!(said(empty, ""), injected);
    assert_eq!(said("hello", r#","origin":{"kind":"peer"}"#), notice("hello"));
    assert_eq!(said("[Request interrupted by user]", ""), notice("[Request interrupted by user]"));
    let ended = "<task-notification>\\n<task-id>a1</task-id>\\n<status>completed</status>\\n<summary>Agent \\\"x\\\" completed</summary>";
    assert_eq!(said(ended, ""), notice("Agent \"x\" completed"));
}

#[test]
fn records_of_the_system() {
    check(
        r#"{"type":"system","subtype":"turn_duration","durationMs":71230,"messageCount":9}"#,
        "system/turn_duration Conversation turn_end(71230 ms):",
    );
    check(
        r#"{"type":"system","subtype":"compact_boundary","content":"Conversation compacted","compactMetadata":{"trigger":"auto","preTokens":158933,"postTokens":21004}}"#,
        "system/compact_boundary Conversation compaction:auto: 158933 to 21004 tokens",
    );
    check(
        r#"{"type":"system","subtype":"api_error","error":{"formatted":"529 Overloaded"},"retryInMs":500,"retryAttempt":1,"maxRetries":10}"#,
        "system/api_error Conversation error:529 Overloaded",
    );
    check(
        r#"{"type":"system","subtype":"api_error","error":{"error":{"error":{"message":"Overloaded"}}}}"#,
        "system/api_error Conversation error:Overloaded",
    );
    check(
        r#"{"type":"system","subtype":"away_summary","content":"You were away"}"#,
        "system/away_summary Conversation notice:You were away",
    );
    check(
        r#"{"type":"system","subtype":"stop_hook_summary"}"#,
        "system/stop_hook_summary Injected ",
    );
    check(
        r#"{"type":"system","subtype":"of_next_month"}"#,
        "system/of_next_month Unknown other[system/of_next_month]:",
    );
    check(
        r#"{"type":"assistant","isApiErrorMessage":true,"error":"overloaded","message":{"model":"<synthetic>","content":[{"type":"text","text":"API Error: Overloaded"}]}}"#,
        "assistant Conversation error:API Error: Overloaded",
    );
}

#[test]
fn state_is_known_and_what_is_unknown_is_passed_on() {
    for known in STATE_TYPES {
        check(&format!(r#"{{"type":"{known}","sessionId":"s"}}"#), &format!("{known} State "));
    }
    check(r#"{"type":"artifact-of-any-kind"}"#, "artifact-of-any-kind State ");
    check(r#"{"type":"ai-title","aiTitle":"Fix it"}"#, "ai-title State title:Fix it");
    check(r#"{"type":"custom-title","customTitle":"Mine"}"#, "custom-title State title:Mine");
    check(r#"{"type":"summary","summary":"Old"}"#, "summary State title:Old");
    check(
        r#"{"type":"queue-operation","operation":"enqueue","content":"also this"}"#,
        "queue-operation State notice:enqueue also this",
    );
    check(
        r#"{"type":"attachment","attachment":{"type":"queued_command","prompt":"also this"}}"#,
        "attachment Conversation prompt:also this",
    );
    check(
        r#"{"type":"attachment","attachment":{"type":"queued_command","prompt":[{"type":"text","text":"with a list"}]}}"#,
        "attachment Conversation prompt:with a list",
    );
    check(r#"{"type":"attachment","attachment":{"type":"skill_listing"}}"#, "attachment Injected ");
    check(r#"{"type":"progress","data":{"type":"hook_progress"}}"#, "progress Injected ");
    check(
        r#"{"type":"never-seen-before","payload":{"x":1}}"#,
        "never-seen-before Unknown other[never-seen-before]:",
    );
    check(
        r#"{"type":"assistant","message":{"content":[{"type":"hologram"}]}}"#,
        "assistant Conversation other[hologram]:",
    );
}

#[test]
fn values_of_other_types_are_absent() {
    check(r#"{"type":"user","message":null}"#, "user Injected ");
    check(r#"{"type":"user","message":{"content":null}}"#, "user Injected ");
    check(r#"{"type":"user","message":{"content":[1,"x",null,{"type":5}]}}"#, "user Injected ");
    check(r#"{"type":"assistant","message":"text"}"#, "assistant Conversation ");
    check(
        r#"{"type":"assistant","message":{"content":{"a":1}},"timestamp":{}}"#,
        "assistant Conversation ",
    );
    check(
        r#"{"type":"assistant","message":{"content":"plain"}}"#,
        "assistant Conversation text:plain",
    );
    check(
        r#"{"type":"user","origin":"human","isMeta":"true","message":{"content":"x"}}"#,
        "user Conversation prompt:x",
    );
    check(r#"{"type":7}"#, "malformed");
    for malformed in
        ["[]", "null", "42", "\"x\"", "{}", "{\"type\":\"user\"", "no json", "{\"a\":1}"]
    {
        check(malformed, "malformed");
    }
    check("", "");
    check(" \0\0 ", "");
}

#[test]
fn lines_that_writers_damaged_lose_only_what_is_lost() {
    let title = r#"{"type":"ai-title","aiTitle":"x"}"#;
    let wanted = "ai-title State title:x";
    check(&format!("{title}{title}"), &format!("{wanted}\n{wanted}"));
    check(&format!("\0\0\0{title}\0\r"), wanted);
    check(&format!("{}{title}", &title[..20]), &format!("malformed\n{wanted}"));
    check(&format!("{title}{}", &title[..20]), &format!("{wanted}\nmalformed"));
    check(&format!("{title} junk {title}"), &format!("{wanted}\nmalformed\n{wanted}"));
    let parent = r#"{"parentUuid":null,"type":"ai-title","aiTitle":"x"}"#;
    check(&format!("{}{parent}", &title[..20]), &format!("malformed\n{wanted}"));
}

#[test]
fn a_message_that_follows_a_half_record_on_its_line_is_not_taken_for_its_last_block() {
    let message = r#"{"parentUuid":null,"type":"assistant","message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}"#;
    let wanted = shown(message.as_bytes());
    assert!(wanted.starts_with("assistant Conversation text:a"), "{wanted}");
    for cut in 1..message.len() {
        check(&format!("{}{message}", &message[..cut]), &format!("malformed\n{wanted}"));
    }
}

#[test]
fn half_surrogates_and_bytes_that_are_no_text_do_not_cost_the_record() {
    check(
        r#"{"type":"user","message":{"content":"cut \ud83d"}}"#,
        "user Conversation prompt:cut \u{FFFD}",
    );
    check(
        r#"{"type":"user","message":{"content":"ok \ud83d\ude80 \\ud83d"},"x":"\udead"}"#,
        "user Conversation prompt:ok 🚀 \\ud83d",
    );
    let line = b"{\"type\":\"user\",\"message\":{\"content\":\"a\xffb\"}}";
    assert_eq!(shown(line), "user Conversation prompt:a\u{FFFD}b");
}

#[test]
fn a_line_of_5_mb_is_read_and_little_of_it_shown() {
    let output = "line \\u0001 of output\\n".repeat(250_000);
    let line = format!(
        r#"{{"type":"user","message":{{"content":[{{"type":"tool_result","tool_use_id":"t","content":"{output}"}}]}},"toolUseResult":{{"stdout":"{output}"}}}}"#
    );
    each_part(line.as_bytes(), |part| {
        let Part::Record(record) = part else { panic!("malformed") };
        let data = record.data();
        assert_eq!(data[0].tool_use_id.as_deref(), Some("t"));
        assert_eq!(data[0].text.chars().count(), TEXT_CHARS_SHOWN);
    });
}

const TEXT_CHARS_SHOWN: usize = 500;

#[test]
fn blocks_fit_into_3_kib_whatever_they_hold() {
    let text = "\\u0001".repeat(10_000);
    let part = format!(r#"{{"type":"text","text":"{text}"}}"#);
    for count in [1, 3, 100] {
        let parts = vec![part.clone(); count].join(",");
        let line = format!(r#"{{"type":"assistant","message":{{"content":[{parts}]}}}}"#);
        each_part(line.as_bytes(), |part| {
            let Part::Record(record) = part else { panic!("malformed") };
            let size = serde_json::to_vec(&record.data()).unwrap().len();
            assert!(size <= 3 * 1024, "{count}: {size}");
        });
    }
}

#[test]
fn a_response_has_its_tokens_unless_it_was_made_up() {
    let response = |message: &str| {
        let line = format!(r#"{{"type":"assistant","requestId":"r","message":{message}}}"#);
        let mut found = None;
        each_part(line.as_bytes(), |part| {
            let Part::Record(record) = part else { panic!("malformed") };
            let response = record.response().unwrap();
            found = Some((
                response.is_end_of_turn,
                response.model.map(Cow::into_owned),
                response.usage,
            ));
        });
        found.unwrap()
    };
    let usage = r#"{"input_tokens":3,"cache_creation_input_tokens":7513,"cache_read_input_tokens":17070,"output_tokens":412,"cache_creation":{"ephemeral_1h_input_tokens":7000}}"#;
    let counted = Usage {
        input: 3,
        output: 412,
        cache_read: 17070,
        cache_write: 7513,
        cache_write_hour: 7000,
    };
    let opus = || Some("claude-opus-5".to_owned());
    assert_eq!(
        response(&format!(
            r#"{{"model":"claude-opus-5","stop_reason":"end_turn","usage":{usage}}}"#
        )),
        (true, opus(), Some(counted))
    );
    assert_eq!(
        response(&format!(
            r#"{{"model":"claude-opus-5","stop_reason":"tool_use","usage":{usage}}}"#
        )),
        (false, opus(), Some(counted))
    );
    assert_eq!(
        response(&format!(r#"{{"model":"<synthetic>","usage":{usage}}}"#)),
        (false, None, None)
    );
    assert_eq!(response(r#"{"model":"claude-opus-5","usage":null}"#), (false, opus(), None));
    assert_eq!(counted.context(), 3 + 412 + 17070 + 7513);
}
