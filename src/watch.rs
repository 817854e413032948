//! Placeholder, replaced by the watcher.
