//! The page and its files: out of the binary, or from a folder while somebody works on them.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::Error;

use super::answer::{Answer, Refusal};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The page, served at `/`; every other file is at `/static/` and its name.
const PAGE: &str = "index.html";

/// The newest events as `live.js` asks for them; a request that differs would not be answered by this one.
const NEWEST: &str = "</api/claude/live/backlog?limit=200>; rel=preload; as=fetch; crossorigin";

/// A file of the page.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    source: &'static str,
    /// What is sent of it, once somebody has asked.
    lean: OnceLock<String>,
}

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset {
            name: $name,
            content_type: $content_type,
            source: include_str!(concat!("../../static/", $name)),
            lean: OnceLock::new(),
        }
    };
}

static ASSETS: [Asset; 18] = [
    asset!("index.html", HTML),
    asset!("live.css", CSS),
    asset!("live.js", JAVASCRIPT),
    asset!("batch.js", JAVASCRIPT),
    asset!("chart.js", JAVASCRIPT),
    asset!("dom.js", JAVASCRIPT),
    asset!("feed.js", JAVASCRIPT),
    asset!("filter.js", JAVASCRIPT),
    asset!("format.js", JAVASCRIPT),
    asset!("highlight.js", JAVASCRIPT),
    asset!("json.js", JAVASCRIPT),
    asset!("render.js", JAVASCRIPT),
    asset!("secrets.js", JAVASCRIPT),
    asset!("stream.js", JAVASCRIPT),
    asset!("tally.js", JAVASCRIPT),
    asset!("favicon.svg", SVG),
    asset!("favicon-wait.svg", SVG),
    asset!("favicon-off.svg", SVG),
];

/// Where the files come from.
pub(crate) struct Assets {
    dir: Option<PathBuf>,
    /// The page's `Link` header.
    needs: String,
}

impl Assets {
    /// # Errors
    ///
    /// The folder cannot be listed.
    pub(crate) fn new(dir: Option<&Path>) -> Result<Assets, Error> {
        if let Some(path) = dir {
            fs::read_dir(path)
                .map_err(|cause| Error::StaticDir { path: path.to_owned(), cause })?;
        }
        Ok(Assets { dir: dir.map(Path::to_owned), needs: needs() })
    }

    /// The file at a path, which is one of the known ones or nothing.
    pub(crate) fn answer(&self, path: &str) -> Result<Answer, Refusal> {
        let name = if path == "/" { Some(PAGE) } else { path.strip_prefix("/static/") };
        let asset = name.and_then(|name| ASSETS.iter().find(|asset| asset.name == name));
        let Some(asset) = asset else {
            return Err(Refusal::new(404, "not_found", format!("there is nothing at `{path}`")));
        };
        let answer = Answer::asset(asset.content_type, self.body(asset)?);
        Ok(if asset.name == PAGE { answer.with("Link", &self.needs) } else { answer })
    }

    fn body(&self, asset: &'static Asset) -> Result<Cow<'static, [u8]>, Refusal> {
        let Some(dir) = &self.dir else {
            let sent = asset.lean.get_or_init(|| lean(asset.source));
            return Ok(Cow::Borrowed(sent.as_bytes()));
        };
        let file = dir.join(asset.name);
        fs::read(&file).map(Cow::Owned).map_err(|error| {
            Refusal::new(404, "not_found", format!("`{}`: {error}", file.display()))
        })
    }
}

/// What a browser needs of a file: indentation, and comments on lines of their own, are for who reads the source.
fn lean(source: &str) -> String {
    let mut lean = String::with_capacity(source.len());
    let mut is_comment = false;
    for line in source.lines() {
        let line = line.trim_start_matches('\t');
        is_comment |= line.starts_with("/*");
        if !is_comment {
            lean.push_str(line);
            lean.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    lean
}

/// What the page needs for its first rows, asked for before the page itself is read: a browser would come to each module
/// only when it has the one that imports it, and to the backlog when all of them have run.
fn needs() -> String {
    let modules = ASSETS.iter().filter(|asset| asset.content_type == JAVASCRIPT);
    let modules = modules.map(|asset| format!(", </static/{}>; rel=modulepreload", asset.name));
    NEWEST.to_owned() + &modules.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_embedded() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/static"));
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut names: Vec<_> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
        files.sort();
        names.sort();
        assert_eq!(names, files);
    }

    #[test]
    fn what_a_browser_does_not_need_is_not_sent() {
        let source = "/**\n * What.\n */\nlet a = 1; /* one */\n\t/** Why. */\n\tlet b = `/*`;\n\n/* c */\nlet c;\n";
        assert_eq!(lean(source), "let a = 1; /* one */\nlet b = `/*`;\n\nlet c;\n");
    }

    #[test]
    fn no_line_of_code_is_taken_for_a_comment() {
        for asset in &ASSETS {
            let lines = asset.source.lines().map(|line| line.trim_start_matches('\t'));
            for line in lines.filter(|line| line.starts_with("/*")) {
                let is_whole = line.find("*/") == Some(line.len() - 2);
                assert!(is_whole || line == "/**", "{}: {line}", asset.name);
            }
        }
    }

    #[test]
    fn only_known_names_are_answered() {
        let assets = Assets::new(Some(Path::new("/"))).unwrap();
        for path in [
            "/static/",
            "/static/../etc/passwd",
            "/static//etc/passwd",
            "/etc/passwd",
            "/index.html",
            "/static/index.htm",
            "//",
        ] {
            assert!(assets.answer(path).is_err(), "{path}");
        }
        let assets = Assets::new(None).unwrap();
        assert!(assets.answer("/").is_ok() && assets.answer("/static/index.html").is_ok());
    }
}
