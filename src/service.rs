//! What makes the system run the program at login: a unit for systemd, a property list for launchd.
//!
//! Hardened as far as a user's own service manager can do it: directives that drop capabilities are left out, since
//! without privileges systemd cannot follow them and then does not start the unit at all.
//!
//! Invariant: pure; the caller knows where the program lies and which words it is given.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Who is to run the program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Systemd,
    Launchd,
}

/// What is run, and what it needs.
pub(crate) struct Service<'a> {
    pub(crate) program: &'a Path,
    pub(crate) words: &'a [OsString],
    pub(crate) max_connections: usize,
    /// The demo has to write somewhere.
    pub(crate) is_demo: bool,
    /// Where launchd puts what is said on stderr.
    pub(crate) home: Option<&'a Path>,
}

/// Memory beyond which the service is ended: several times the 40 MB that it takes at its worst.
const MAX_MEMORY_MIB: u32 = 256;

/// Threads and open files beside one for each connection: those of clients that are turned away, and our own.
const SPARE: usize = 96;

/// Bits of a new file's mode that are taken away, as a decimal number, which is what a property list knows.
const UMASK: u32 = 0o077;

/// The file to install.
pub(crate) fn print(kind: Kind, service: &Service) -> String {
    match kind {
        Kind::Systemd => systemd(service),
        Kind::Launchd => launchd(service),
    }
}

/// See systemd.service(5), systemd.exec(5) and systemd.resource-control(5).
fn systemd(service: &Service) -> String {
    let mut words = service.command();
    // In the program's own path `$` stands for itself.
    let program =
        words.next().map(|word| systemd_word(word).replace("$$", "$")).unwrap_or_default();
    let command = words.fold(program, |command, word| command + " " + &systemd_word(word));
    let most = service.max_connections + SPARE;
    let private_tmp = if service.is_demo { "PrivateTmp=yes\n" } else { "" };
    format!(
        "\
# Save as ~/.config/systemd/user/claude-live.service, then: systemctl --user enable --now claude-live
[Unit]
Description=claude-live, what Claude Code writes as a live page

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=5
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths=-%t
{private_tmp}RestrictAddressFamilies=AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
MemoryMax={MAX_MEMORY_MIB}M
TasksMax={most}
LimitNOFILE={most}

[Install]
WantedBy=default.target
"
    )
}

/// A word in double quotes, with what systemd would replace or take for an end written otherwise.
fn systemd_word(word: &OsStr) -> String {
    let mut quoted = String::from("\"");
    for chunk in word.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => quoted.extend(['\\', character]),
                '%' | '$' => quoted.extend([character, character]),
                control if control.is_ascii_control() => push_hex(&mut quoted, control as u8),
                other => quoted.push(other),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_hex(&mut quoted, *byte));
    }
    quoted.push('"');
    quoted
}

fn push_hex(text: &mut String, byte: u8) {
    write!(text, "\\x{byte:02x}").expect("a string takes everything");
}

/// See launchd.plist(5).
fn launchd(service: &Service) -> String {
    let words: String = service
        .command()
        .map(|word| format!("    <string>{}</string>\n", xml(&word.to_string_lossy())))
        .collect();
    let most = service.max_connections + SPARE;
    let log = service.home.map_or_else(String::new, |home| {
        let path = home.join("Library/Logs/claude-live.log");
        format!(
            "  <key>StandardErrorPath</key>\n  <string>{}</string>\n",
            xml(&path.to_string_lossy())
        )
    });
    format!(
        "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- Save as ~/Library/LaunchAgents/claude-live.plist, then: launchctl load that file -->
<plist version=\"1.0\">
<dict>
  <key>Label</key>
  <string>claude-live</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
{log}  <key>Umask</key>
  <integer>{UMASK}</integer>
  <key>SoftResourceLimits</key>
  <dict>
    <key>NumberOfFiles</key>
    <integer>{most}</integer>
  </dict>
</dict>
</plist>
"
    )
}

/// XML 1.0 has no way to write control characters.
fn xml(text: &str) -> String {
    let text: String = text.chars().filter(|character| !character.is_control()).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Service<'_> {
    fn command(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.program.as_os_str()).chain(self.words.iter().map(OsString::as_os_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &[u8], wanted: &str) {
        assert_eq!(systemd_word(OsStr::from_bytes(word)), wanted);
    }

    #[test]
    fn a_word_reaches_the_program_as_it_is() {
        check(b"--claude=/home/u/.claude", "\"--claude=/home/u/.claude\"");
        check(b"a b", "\"a b\"");
        check(b"100%", "\"100%%\"");
        check(b"$HOME", "\"$$HOME\"");
        check(b"q\"\\", "\"q\\\"\\\\\"");
        check("ü\n".as_bytes(), "\"ü\\x0a\"");
        check(b"\xFF", "\"\\xff\"");
        assert_eq!(xml("<a & b>\n"), "&lt;a &amp; b&gt;");
    }

    #[test]
    fn the_unit_has_room_for_every_connection() {
        let service = Service {
            program: Path::new("/bin/claude-live"),
            words: &["--claude=/c".into()],
            max_connections: 2000,
            is_demo: false,
            home: None,
        };
        let unit = print(Kind::Systemd, &service);
        assert!(unit.contains("\nExecStart=\"/bin/claude-live\" \"--claude=/c\"\n"), "{unit}");
        assert!(unit.contains("\nTasksMax=2096\nLimitNOFILE=2096\n"), "{unit}");
        assert!(!unit.contains("PrivateTmp"), "a history in /tmp is still seen: {unit}");
        assert!(print(Kind::Systemd, &Service { is_demo: true, ..service }).contains("PrivateTmp"));
    }
}
