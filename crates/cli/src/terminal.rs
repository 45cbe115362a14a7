//! Words for people: the only place that writes to standard output and standard error.

use std::error::Error;
use std::io::{self, Write};

/// What a command ends with when it cannot do what it was asked.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// A line of result. A reader that has gone away (`| head`) is no failure.
pub(crate) fn line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// A line of progress or advice, beside the result.
pub(crate) fn aside(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// An error and its causes, each on a line.
pub(crate) fn error(error: &dyn Error) {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    let mut last = error.to_string();
    while let Some(error) = cause {
        let words = error.to_string();
        if words != last {
            text.push_str(&format!("\n  because {words}"));
            last = words;
        }
        cause = error.source();
    }
    aside(&text);
}
