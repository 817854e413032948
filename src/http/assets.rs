//! The page and its files: from the binary, or from a folder during development.
//!
//! The files of the binary are compressed, each at the first request that allows it: the page is
//! read over slow lines too, and the start of the program pays nothing.
//!
//! Invariant: a path of a request is compared with the known names and never becomes a path of a
//! file.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use miniz_oxide::deflate::compress_to_vec_zlib;

use crate::error::Error;

use super::answer::{Answer, Refusal};
use super::encoding::DEFLATE;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The page, served at `/`; every other file is served at `/static/` and its name.
const PAGE: &str = "index.html";

/// The first requests of `live.js` and `sessions.js`. A browser uses the preloaded answer for an
/// identical request only.
const FIRST: &str = "</api/claude/live/backlog?limit=200>; rel=preload; as=fetch; crossorigin, \
    </api/claude/sessions>; rel=preload; as=fetch; crossorigin";

/// From 0 to 10. Higher ones make these files no smaller.
const LEVEL: u8 = 6;

/// A file of the page.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
    deflated: OnceLock<Vec<u8>>,
}

impl Asset {
    fn deflated(&self) -> &[u8] {
        self.deflated.get_or_init(|| compress_to_vec_zlib(self.text.as_bytes(), LEVEL))
    }
}

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset {
            name: $name,
            content_type: $content_type,
            text: include_str!(concat!("../../static/", $name)),
            deflated: OnceLock::new(),
        }
    };
}

static ASSETS: [Asset; 38] = [
    asset!("index.html", HTML),
    asset!("live.css", CSS),
    asset!("sessions.css", CSS),
    asset!("usage.css", CSS),
    asset!("alerts.js", JAVASCRIPT),
    asset!("app.js", JAVASCRIPT),
    asset!("batch.js", JAVASCRIPT),
    asset!("cards.js", JAVASCRIPT),
    asset!("chart.js", JAVASCRIPT),
    asset!("colors.js", JAVASCRIPT),
    asset!("days.js", JAVASCRIPT),
    asset!("details.js", JAVASCRIPT),
    asset!("dom.js", JAVASCRIPT),
    asset!("feed.js", JAVASCRIPT),
    asset!("filter.js", JAVASCRIPT),
    asset!("format.js", JAVASCRIPT),
    asset!("highlight.js", JAVASCRIPT),
    asset!("items.js", JAVASCRIPT),
    asset!("json.js", JAVASCRIPT),
    asset!("lines.js", JAVASCRIPT),
    asset!("live.js", JAVASCRIPT),
    asset!("older.js", JAVASCRIPT),
    asset!("opened.js", JAVASCRIPT),
    asset!("render.js", JAVASCRIPT),
    asset!("roster.js", JAVASCRIPT),
    asset!("secrets.js", JAVASCRIPT),
    asset!("session.js", JAVASCRIPT),
    asset!("sessions.js", JAVASCRIPT),
    asset!("stream.js", JAVASCRIPT),
    asset!("sums.js", JAVASCRIPT),
    asset!("sumtable.js", JAVASCRIPT),
    asset!("tally.js", JAVASCRIPT),
    asset!("timeline.js", JAVASCRIPT),
    asset!("usage.js", JAVASCRIPT),
    asset!("favicon.svg", SVG),
    asset!("favicon-asks.svg", SVG),
    asset!("favicon-wait.svg", SVG),
    asset!("favicon-off.svg", SVG),
];

/// Serves the page's files.
pub(crate) struct Assets {
    dir: Option<PathBuf>,
    /// The page's `Link` header.
    link: String,
}

impl Assets {
    /// Takes the files from `dir` if it is given.
    ///
    /// # Errors
    ///
    /// The folder cannot be listed.
    pub(crate) fn new(dir: Option<&Path>) -> Result<Assets, Error> {
        if let Some(path) = dir {
            fs::read_dir(path)
                .map_err(|cause| Error::StaticDir { path: path.to_owned(), cause })?;
        }
        Ok(Assets { dir: dir.map(Path::to_owned), link: link_header() })
    }

    /// Returns the file for a request's path, compressed if the client takes that.
    ///
    /// # Errors
    ///
    /// The path is not that of a file of the page, or the folder lacks the file.
    pub(crate) fn answer(&self, path: &str, takes_deflate: bool) -> Result<Answer, Refusal> {
        let name = if path == "/" { Some(PAGE) } else { path.strip_prefix("/static/") };
        let asset = name.and_then(|name| ASSETS.iter().find(|asset| asset.name == name));
        let Some(asset) = asset else {
            return Err(Refusal::not_found(path));
        };
        let answer = match &self.dir {
            Some(dir) => Answer::asset(asset.content_type, Cow::Owned(read(dir, asset)?)),
            None => embedded(asset, takes_deflate),
        };
        Ok(if asset.name == PAGE { answer.with("Link", &self.link) } else { answer })
    }
}

fn read(dir: &Path, asset: &Asset) -> Result<Vec<u8>, Refusal> {
    let file = dir.join(asset.name);
    fs::read(&file)
        .map_err(|error| Refusal::new(404, "not_found", format!("`{}`: {error}", file.display())))
}

/// Neither form has an `ETag`: a stored answer is never used again without a new one.
fn embedded(asset: &'static Asset, takes_deflate: bool) -> Answer {
    let body = if takes_deflate { asset.deflated() } else { asset.text.as_bytes() };
    let answer = Answer::asset(asset.content_type, Cow::Borrowed(body));
    let answer = answer.with("Vary", "Accept-Encoding");
    if takes_deflate { answer.with("Content-Encoding", DEFLATE) } else { answer }
}

/// Returns the requests that the first rows need. A browser without this header requests each
/// module only after the module that imports it, and the backlog after all of them have run.
fn link_header() -> String {
    let modules = ASSETS
        .iter()
        .filter(|asset| asset.content_type == JAVASCRIPT)
        .map(|asset| format!(", </static/{}>; rel=modulepreload", asset.name));
    FIRST.to_owned() + &modules.collect::<String>()
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
            // The guard sends the first; the second holds types, which no module imports.
            .filter(|name| name != "unauthorized.html" && name != "types.js")
            .collect();
        let mut names: Vec<_> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
        files.sort();
        names.sort();
        assert_eq!(names, files);
    }

    #[test]
    fn every_imported_module_is_named_in_the_link_header_and_no_other() {
        let link = link_header();
        for asset in ASSETS.iter().filter(|asset| asset.content_type == JAVASCRIPT) {
            let import = format!("from \"./{}\";", asset.name);
            let is_entry = asset.name == "app.js";
            let is_imported = ASSETS.iter().any(|other| other.text.contains(&import));
            let is_named = link.contains(&format!("</static/{}>; rel=modulepreload", asset.name));
            assert_eq!(is_named, is_entry || is_imported, "{}", asset.name);
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
            assert!(assets.answer(path, true).is_err(), "{path}");
        }
        let assets = Assets::new(None).unwrap();
        for path in ["/", "/static/index.html"] {
            assert!(assets.answer(path, false).is_ok(), "{path}");
        }
    }
}
