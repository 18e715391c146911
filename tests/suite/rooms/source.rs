//! Source text as the rules see it: the paths that a file names, each with its
//! line. No more of Rust is understood than that takes: comments, literals and
//! test code are left out, `use` trees are unfolded, `crate`, `self` and `super`
//! are resolved.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of `src/`.
pub struct Source {
    /// Relative to the repository, such as `src/ledger/lane.rs`.
    pub file: String,
    /// Its module, such as `[ledger, lane]`; `[lib]` and `[main]` for the roots.
    pub module: Vec<String>,
    tokens: Vec<Token>,
}

/// A path that a file names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    /// From `crate`, or from the name of another crate or of something imported.
    pub segments: Vec<String>,
}

#[derive(Debug, Clone)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is(&self, text: &str) -> bool {
        self.text == text
    }

    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files under a directory of the repository, by name.
pub fn files(directory: &str) -> Vec<String> {
    fn walk(directory: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, into) } else { into.push(path) }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(directory), &mut paths);
    paths.sort();
    paths.iter().map(|path| path.strip_prefix(root()).unwrap().display().to_string()).collect()
}

/// The sources of the crate, without those that only tests consist of.
pub fn sources() -> Vec<Source> {
    let files = files("src").into_iter().filter(|file| file.ends_with(".rs"));
    let mut tests = Vec::new();
    let mut sources: Vec<Source> = files
        .map(|file| {
            let text = fs::read_to_string(root().join(&file)).unwrap();
            let (source, test_modules) = Source::parse(&file, &text);
            tests.extend(test_modules);
            source
        })
        .collect();
    sources.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
    sources
}

impl Source {
    /// The source, and the modules in files of their own that are only for tests.
    pub fn parse(file: &str, text: &str) -> (Self, Vec<Vec<String>>) {
        let module = file.trim_start_matches("src/").trim_end_matches(".rs");
        let module: Vec<String> =
            module.trim_end_matches("/mod").split('/').map(str::to_owned).collect();
        let (tokens, tests) = without_tests(tokens(text));
        let home = module.as_slice();
        let home = if home == ["lib"] { &[] } else { home };
        let tests = tests.into_iter().map(|name| [home, &[name]].concat()).collect();
        (Self { file: file.to_owned(), module, tokens }, tests)
    }

    /// The lines in which a word stands.
    pub fn lines_with<'w>(&'w self, word: &'w str) -> impl Iterator<Item = usize> + 'w {
        self.tokens.iter().filter(move |token| token.is(word)).map(|token| token.line)
    }

    /// Every path that it names, `use` trees unfolded.
    pub fn paths(&self) -> Vec<Named> {
        let mut named = Vec::new();
        // The modules that are open here, with the depth of braces they began at.
        let mut inner: Vec<(usize, String)> = Vec::new();
        let (mut at, mut depth) = (0, 0_usize);
        while let Some(token) = self.tokens.get(at) {
            if token.is("{") {
                depth += 1;
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
                inner.retain(|(begun, _)| *begun < depth + 1);
            } else if token.is("mod") && self.is(at + 2, "{") {
                inner.push((depth + 1, self.tokens[at + 1].text.clone()));
            }
            if !token.is_word() {
                at += 1;
                continue;
            }
            let from = named.len();
            let is_use = token.is("use");
            at = self.tree(if is_use { at + 1 } else { at }, &[], &mut named);
            // One word alone is a name of the file's own, unless it is imported.
            let short = |path: &Named| path.segments.len() > 1 || is_use;
            let mut paths = named.split_off(from);
            paths.retain(short);
            let here = inner.iter().map(|(_, name)| name.clone());
            let here: Vec<String> = self.module.iter().cloned().chain(here).collect();
            named.extend(paths.into_iter().map(|path| resolve(path, &here)));
        }
        named
    }

    /// Reads the tree of paths that begins at a token; returns where it ended.
    fn tree(&self, mut at: usize, prefix: &[String], into: &mut Vec<Named>) -> usize {
        let mut segments = prefix.to_vec();
        let mut line = self.tokens.get(at).map_or(0, |token| token.line);
        if self.is(at, "::") {
            at += 1;
        }
        loop {
            match self.tokens.get(at) {
                Some(token) if token.is("{") && (segments.len() > prefix.len() || at > 0) => {
                    at += 1;
                    while at < self.tokens.len() && !self.is(at, "}") {
                        let next = self.tree(at, &segments, into);
                        at = if next == at || self.is(next, ",") { next + 1 } else { next };
                    }
                    return at + 1;
                }
                Some(token) if token.is_word() || token.is("*") => {
                    line = token.line;
                    segments.push(token.text.clone());
                    at += 1;
                }
                _ => break,
            }
            let next = self.tokens.get(at + 1);
            if self.is(at, "::")
                && next.is_some_and(|next| next.is_word() || next.is("*") || next.is("{"))
            {
                at += 1;
                continue;
            }
            if self.is(at, "as") && next.is_some_and(Token::is_word) {
                at += 2;
            }
            break;
        }
        if segments.len() > prefix.len() {
            into.push(Named { line, segments });
        }
        at
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(text))
    }
}

/// Turns a path into one from `crate`, where it is one of this crate.
fn resolve(path: Named, here: &[String]) -> Named {
    let roots = [["lib"].as_slice(), &["main"]];
    let home = if roots.iter().any(|root| here == *root) { &[] } else { here };
    let (mut home, mut rest) = (home.to_vec(), path.segments.as_slice());
    match rest.first().map(String::as_str) {
        Some("crate" | "creditgate") => {
            home.clear();
            rest = &rest[1..];
        }
        Some("self") => rest = &rest[1..],
        Some("super") => {}
        _ => return path,
    }
    while rest.first().is_some_and(|segment| segment == "super") {
        home.pop();
        rest = &rest[1..];
    }
    let rest = rest.iter().filter(|segment| *segment != "self").cloned();
    let segments = ["crate".to_owned()].into_iter().chain(home).chain(rest).collect();
    Named { line: path.line, segments }
}

/// Leaves out items under `#[cfg(test)]`; names the modules of other files
/// among them.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let marked = tokens[at..].iter().map(|token| token.text.as_str()).take(MARK.len()).eq(MARK);
        if !marked {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += MARK.len();
        if let [.., module, end] = &tokens[at..tokens.len().min(at + 3)]
            && tokens[at].is("mod")
            && end.is(";")
        {
            modules.push(module.text.clone());
        }
        // To the end of the item: its braces, or its semicolon.
        let mut depth = 0_usize;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token.text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" if depth == 1 => break,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    (kept, modules)
}

/// Words, `::` and single signs, without comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| {
        chars[at..].iter().take(what.chars().count()).copied().eq(what.chars())
    };
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let from = at;
        if starts(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            while at < chars.len() && !starts(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if let Some(end) = raw_string(&chars, at) {
            at = end;
        } else if chars[at] == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if starts(at, "'\\") || (chars[at] == '\'' && chars.get(at + 2) == Some(&'\'')) {
            at += if starts(at, "'\\") { 3 } else { 2 };
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else if chars[at].is_alphanumeric() || chars[at] == '_' {
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            tokens.push(Token { line, text: chars[from..at].iter().collect() });
        } else {
            at += if starts(at, "::") { 2 } else { 1 };
            if !chars[from].is_whitespace() {
                tokens.push(Token { line, text: chars[from..at].iter().collect() });
            }
        }
        at = at.min(chars.len());
        line += chars[from..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// Where the raw string that begins here ends, if one does.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let mut open = at + usize::from(chars[at] == 'b');
    if chars.get(open) != Some(&'r') {
        return None;
    }
    open += 1;
    let hashes = chars[open..].iter().take_while(|c| **c == '#').count();
    if chars.get(open + hashes) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = open + hashes + 1;
    let length = chars[body..].windows(close.len()).position(|window| window == close)?;
    Some(body + length + close.len())
}
