//! Placeholder, replaced by the tailer.
