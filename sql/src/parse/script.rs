//! The tokens of a script, and what every statement needs of them.

use datafusion_sql::sqlparser::ast::{Expr, Ident, Query};
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace};

use crate::error::{Cause, Place, SqlError};

use super::dialect::FlinkDialect;
use super::is_reserved;

/// The one catalog and its one database, by their names.
const DEFAULT_QUALIFIERS: [&str; 2] = ["default_catalog", "default_database"];

pub(super) struct Script {
    parser: Parser<'static>,
    /// Where the text ends.
    end: Place,
}

impl Script {
    pub(super) fn new(text: &str) -> Result<Self, SqlError> {
        let tokens = Tokenizer::new(&FlinkDialect, text).tokenize_with_location().map_err(|error| {
            let cause = Cause::Syntax { message: error.message };
            SqlError::at(Place::of(error.location), cause)
        })?;
        let is_hint = |token: &Token| matches!(token, Token::Whitespace(Whitespace::MultiLineComment(text)) if text.starts_with('+'));
        if let Some(hint) = tokens.iter().find(|token| is_hint(&token.token)) {
            return Err(SqlError::not_supported(Place::start(hint.span), "a hint, /*+ … */,", ""));
        }
        let tokens = tokens.into_iter().flat_map(split_brackets).collect();
        let tokens = without_table_words(tokens);
        let last = text.lines().last().unwrap_or_default();
        let end = Place { line: text.lines().count().max(1) as u64, column: last.chars().count() as u64 + 1 };
        Ok(Self { end, parser: Parser::new(&FlinkDialect).with_tokens_with_locations(tokens) })
    }

    /// Where the next token is.
    pub(super) fn place(&self) -> Option<Place> {
        Place::start(self.parser.peek_token_ref().span).or(Some(self.end))
    }

    pub(super) fn at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    /// Passes over the next token.
    pub(super) fn skip(&mut self) {
        self.parser.advance_token();
    }

    /// Whether the next token is this word, in any case and without quotes.
    pub(super) fn is_word(&self, expected: &str) -> bool {
        self.is_nth_word(0, expected)
    }

    /// The same of a later token.
    pub(super) fn is_nth_word(&self, n: usize, expected: &str) -> bool {
        match &self.parser.peek_nth_token_ref(n).token {
            Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected),
            _ => false,
        }
    }

    /// Takes this word if it is the next token.
    pub(super) fn word(&mut self, expected: &str) -> bool {
        let found = self.is_word(expected);
        if found {
            self.skip();
        }
        found
    }

    pub(super) fn require_word(&mut self, expected: &str) -> Result<(), SqlError> {
        if self.word(expected) { Ok(()) } else { Err(self.expected(expected)) }
    }

    pub(super) fn is_symbol(&self, expected: &Token) -> bool {
        self.parser.peek_token_ref().token == *expected
    }

    /// Takes this symbol if it is the next token.
    pub(super) fn symbol(&mut self, expected: &Token) -> bool {
        let found = self.is_symbol(expected);
        if found {
            self.skip();
        }
        found
    }

    pub(super) fn require_symbol(&mut self, expected: &Token, called: &str) -> Result<(), SqlError> {
        if self.symbol(expected) { Ok(()) } else { Err(self.expected(called)) }
    }

    /// A text in quotes.
    pub(super) fn text(&mut self, called: &str) -> Result<String, SqlError> {
        let Token::SingleQuotedString(text) = &self.parser.peek_token_ref().token else {
            return Err(self.expected(called));
        };
        let text = text.clone();
        self.skip();
        Ok(text)
    }

    /// A whole number.
    pub(super) fn number(&mut self) -> Result<u8, SqlError> {
        let number = match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => digits.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.expected("a number up to 255"))?;
        self.skip();
        Ok(number)
    }

    /// Whether a text in quotes follows.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.parser.peek_token_ref().token, Token::SingleQuotedString(_))
    }

    /// A length, which may be as large as Flink's largest.
    pub(super) fn length(&mut self) -> Result<i32, SqlError> {
        let length = match &self.parser.peek_token_ref().token {
            Token::Number(digits, _) => digits.parse().ok().filter(|length| *length > 0),
            _ => None,
        };
        let length = length.ok_or_else(|| self.expected("a length from 1"))?;
        self.skip();
        Ok(length)
    }

    /// A name that stands alone.
    pub(super) fn name(&mut self) -> Result<Ident, SqlError> {
        let found = self.parser.peek_token_ref();
        match &found.token {
            Token::Word(word) if word.quote_style.is_some() || !is_reserved(word.keyword) => {
                let name = Ident { value: word.value.clone(), quote_style: word.quote_style, span: found.span };
                self.skip();
                Ok(name)
            }
            _ => Err(self.expected("a name")),
        }
    }

    /// The name of a table or view, which may be qualified by the catalog and database that there are.
    pub(super) fn relation_name(&mut self) -> Result<Ident, SqlError> {
        let mut names = vec![self.name()?];
        while self.symbol(&Token::Period) {
            names.push(self.name()?);
        }
        let place = Place::start(names[0].span);
        let name = names.pop().ok_or_else(|| self.expected("a name"))?;
        let expected = &DEFAULT_QUALIFIERS[DEFAULT_QUALIFIERS.len().saturating_sub(names.len())..];
        if names.len() > DEFAULT_QUALIFIERS.len()
            || names.iter().zip(expected).any(|(name, expected)| name.value != *expected)
        {
            let why = "there are `default_catalog` and `default_database`";
            return Err(SqlError::not_supported(place, "a catalog or database of your own", why));
        }
        Ok(name)
    }

    /// Names in parentheses.
    pub(super) fn names(&mut self) -> Result<Vec<Ident>, SqlError> {
        self.require_symbol(&Token::LParen, "`(`")?;
        let mut names = vec![self.name()?];
        while self.symbol(&Token::Comma) {
            names.push(self.name()?);
        }
        self.require_symbol(&Token::RParen, "`)`")?;
        Ok(names)
    }

    /// Whether the parenthesis that follows holds names, not a query.
    pub(super) fn names_follow(&self) -> bool {
        !["SELECT", "WITH", "VALUES"].into_iter().any(|word| self.is_nth_word(1, word))
            && self.parser.peek_nth_token_ref(1).token != Token::LParen
    }

    pub(super) fn query(&mut self) -> Result<Box<Query>, SqlError> {
        self.parser.parse_query().map_err(|error| syntax(error, self.end))
    }

    pub(super) fn expression(&mut self) -> Result<Expr, SqlError> {
        self.parser.parse_expr().map_err(|error| syntax(error, self.end))
    }

    /// That something else should be where the next token is.
    pub(super) fn expected(&self, what: &str) -> SqlError {
        let found = self.parser.peek_token_ref();
        let found_text = match &found.token {
            Token::EOF => "the end".to_owned(),
            token => format!("`{token}`"),
        };
        let cause = Cause::Syntax { message: format!("expected {what}, found {found_text}") };
        SqlError::at(self.place(), cause)
    }
}

/// `>>` ends two brackets of types here; Flink has no such operator.
fn split_brackets(token: TokenWithSpan) -> Vec<TokenWithSpan> {
    if token.token != Token::ShiftRight {
        return vec![token];
    }
    let Span { start, end } = token.span;
    let middle = Location { column: start.column + 1, ..start };
    vec![
        TokenWithSpan { token: Token::Gt, span: Span::new(start, middle) },
        TokenWithSpan { token: Token::Gt, span: Span::new(middle, end) },
    ]
}

/// `TABLE t` as an argument is the table `t`: the word says nothing that its place does not.
fn without_table_words(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_space = |token: &Token| matches!(token, Token::Whitespace(_));
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        let is_table = matches!(
            &token.token,
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("TABLE")
        );
        let before = kept.iter().rev().map(|token| &token.token).find(|token| !is_space(token));
        let after = tokens[index + 1..].iter().map(|token| &token.token).find(|token| !is_space(token));
        let is_argument = matches!(before, Some(Token::LParen | Token::Comma | Token::RArrow));
        if is_table && is_argument && matches!(after, Some(Token::Word(_))) {
            continue;
        }
        kept.push(token.clone());
    }
    kept
}

/// sqlparser says the place in its message, unless it is the end.
fn syntax(error: ParserError, end: Place) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_owned(),
    };
    let place = message.rsplit_once(" at Line: ").and_then(|(before, numbers)| {
        let (line, column) = numbers.split_once(", Column: ")?;
        Some((before.to_owned(), Place { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    let (message, place) = place.map_or((message, None), |(before, place)| (before, Some(place)));
    let message = message.replace("Expected: ", "expected ").replace("Expected ", "expected ");
    let place = place.or_else(|| message.ends_with("EOF").then_some(end));
    SqlError::at(
        place,
        Cause::Syntax { message: message.replace(", found: EOF", ", found the end").replace(", found: ", ", found ") },
    )
}
