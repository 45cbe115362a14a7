//! Where in a policy text something stands.

use std::fmt;

use crate::error::excerpt;

/// A place in a policy text, for the person who has to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub byte: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Such as `Statement[0].Principal.AWS`; empty for the document itself.
    pub path: String,
}

impl Place {
    pub(super) fn new(text: &str, byte: usize, path: &Path<'_>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { byte, line, column, path: path.to_string() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, " in `{}`", self.path)?;
        }
        Ok(())
    }
}

/// The way from the document down to a value, kept on the stack of whoever walks there. It becomes text only when
/// something is wrong.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Index(&'p Self, usize),
    Member(&'p Self, &'p str),
    Root,
}

impl<'p> Path<'p> {
    pub(super) fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }

    pub(super) fn member(&'p self, name: &'p str) -> Self {
        Self::Member(self, name)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // INVARIANT: paths are no deeper than `JSON_DEPTH_MAX`, so this recursion is bounded.
        match self {
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Member(Self::Root, name) => f.write_str(&excerpt(name)),
            Self::Member(parent, name) => write!(f, "{parent}.{}", excerpt(name)),
            Self::Root => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "{\n \"é\": x\n}";
        let place = |byte| Place::new(text, byte, &Path::Root);
        assert_eq!((place(0).line, place(0).column), (1, 1));
        let at_x = text.find('x').unwrap();
        assert_eq!((place(at_x).byte, place(at_x).line, place(at_x).column), (9, 2, 7));
        assert_eq!((place(text.len()).line, place(text.len()).column), (3, 2));
        assert_eq!((place(1000).line, place(1000).column), (3, 2));
    }

    #[test]
    fn paths_are_written_as_one_reads_them() {
        let statements = Path::Root.member("Statement");
        let statement = statements.index(2);
        let place = Place::new("", 0, &statement.member("Principal"));
        assert_eq!(place.to_string(), "line 1 column 1 in `Statement[2].Principal`");
        assert_eq!(Place::new("", 0, &Path::Root).to_string(), "line 1 column 1");
        assert_eq!(Path::Root.index(1).to_string(), "[1]");
        assert_eq!(Path::Root.member("a\nb").to_string(), "a\\nb");
        assert_eq!(Path::Root.member(&"x".repeat(100)).to_string().len(), 64);
    }
}
