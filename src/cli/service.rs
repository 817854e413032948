//! Files that start the program at login: a unit for systemd, a property list for launchd.
//!
//! They start it without options; the reader adds some, and whatever else the system offers.
//!
//! Invariant: pure. A path with characters that either format would interpret is refused, not
//! escaped.

use std::path::Path;

use crate::error::Error;

/// The service manager.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Systemd,
    Launchd,
}

/// Characters of a path, beside letters and digits, that neither file format interprets.
const PLAIN: &str = " /._-+,:@=~()";

/// The file to install.
///
/// # Errors
///
/// The path of the program contains other characters than letters, digits and [`PLAIN`].
pub(crate) fn print(kind: Kind, program: &Path) -> Result<String, Error> {
    let is_plain = |character: char| character.is_alphanumeric() || PLAIN.contains(character);
    let plain = program.to_str().filter(|path| path.chars().all(is_plain));
    let path = plain.ok_or_else(|| {
        Error::Service(format!(
            "cannot write the path `{}` into the file; expected letters, digits, spaces and `{}`",
            program.display(),
            PLAIN.trim_start()
        ))
    })?;
    Ok(match kind {
        Kind::Systemd => systemd(path),
        Kind::Launchd => launchd(path),
    })
}

/// See systemd.service(5) and systemd.exec(5).
fn systemd(path: &str) -> String {
    format!(
        "\
# Save as ~/.config/systemd/user/claude-live.service, add options to ExecStart, then run:
# systemctl --user enable --now claude-live
[Unit]
Description=Live view of Claude Code

[Service]
ExecStart=\"{path}\"
Restart=on-failure
RestartSec=5
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only

[Install]
WantedBy=default.target
"
    )
}

/// See launchd.plist(5).
fn launchd(path: &str) -> String {
    format!(
        "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- Save as ~/Library/LaunchAgents/claude-live.plist, add a string for each option, then run:
     launchctl load ~/Library/LaunchAgents/claude-live.plist -->
<plist version=\"1.0\">
<dict>
  <key>Label</key>
  <string>claude-live</string>
  <key>ProgramArguments</key>
  <array>
    <string>{path}</string>
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
</dict>
</plist>
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_is_written_as_it_is() {
        let path = Path::new("/opt/my tools (2)/ü-1.0/claude-live");
        let unit = print(Kind::Systemd, path).unwrap();
        assert!(unit.contains("\nExecStart=\"/opt/my tools (2)/ü-1.0/claude-live\"\n"), "{unit}");
        let list = print(Kind::Launchd, path).unwrap();
        let word = "\n    <string>/opt/my tools (2)/ü-1.0/claude-live</string>\n";
        assert!(list.contains(word), "{list}");
    }

    #[test]
    fn a_path_with_a_character_that_means_something_is_refused() {
        for character in ['"', '\'', '\\', '%', '$', '<', '&', ';', '`', '\n', '\u{1b}'] {
            let path = format!("/opt/a{character}b/claude-live");
            for kind in [Kind::Systemd, Kind::Launchd] {
                let error = print(kind, Path::new(&path)).unwrap_err().to_string();
                assert!(
                    error.starts_with("--print-service: cannot write the path `/opt/a"),
                    "{error}"
                );
            }
        }
    }
}
