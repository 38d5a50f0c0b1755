//! From the text of a script to its statements.
//!
//! Queries and expressions are parsed by sqlparser, under a dialect of ours. Everything around them (tables, views,
//! statement sets, settings) is Flink's own and is parsed here, token by token. What Flink has and Pelton does not is
//! refused by its name.

mod create_table;
mod data_type;
mod dialect;
mod script;

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::Token;

use crate::error::SqlError;
use crate::statement::{CreateView, Drop, Insert, Located, RelationKind, Statement};

use self::script::Script;

pub(crate) use self::data_type::{sql_name, unit};

/// The statements of a script.
///
/// # Errors
///
/// What is not SQL, or not supported, and where.
pub fn parse_script(text: &str) -> Result<Vec<Located>, SqlError> {
    let mut script = Script::new(text)?;
    let mut statements = Vec::new();
    loop {
        while script.symbol(&Token::SemiColon) {}
        if script.at_end() {
            return Ok(statements);
        }
        let place = script.place();
        let statement = statement(&mut script)?;
        statements.push(Located { statement, place });
        if !script.at_end() && !script.symbol(&Token::SemiColon) {
            return Err(script.expected("`;`, or the end"));
        }
    }
}

/// Statements that Flink has and that are not built.
const MISSING: [&str; 19] = [
    "ALTER", "ANALYZE", "CALL", "COMPILE", "DELETE", "DESC", "DESCRIBE", "EXPLAIN", "HELP", "LOAD", "SELECT", "SHOW",
    "STOP", "TRUNCATE", "UNLOAD", "UPDATE", "USE", "VALUES", "WITH",
];

fn statement(script: &mut Script) -> Result<Statement, SqlError> {
    let place = script.place();
    if script.word("CREATE") {
        return create(script);
    }
    if script.word("DROP") {
        return drop(script);
    }
    if script.word("SET") {
        let key = script.text("a key in quotes: SET 'key' = 'value'")?;
        script.require_symbol(&Token::Eq, "`=`")?;
        return Ok(Statement::Set { key, value: script.text("a value in quotes")? });
    }
    if script.word("RESET") {
        let key = if script.at_end() || script.is_symbol(&Token::SemiColon) {
            None
        } else {
            Some(script.text("a key in quotes")?)
        };
        return Ok(Statement::Reset { key });
    }
    if script.word("INSERT") {
        return Ok(Statement::Insert(insert(script)?));
    }
    if script.word("EXECUTE") {
        if script.word("INSERT") {
            return Ok(Statement::Insert(insert(script)?));
        }
        if !script.word("STATEMENT") {
            return Err(SqlError::not_supported(place, "EXECUTE of anything but INSERT and STATEMENT SET", ""));
        }
        script.require_word("SET")?;
        return statement_set(script);
    }
    if script.is_word("BEGIN") {
        script.skip();
        script.require_word("STATEMENT")?;
        script.require_word("SET")?;
        script.require_symbol(&Token::SemiColon, "`;`")?;
        return insertions(script);
    }
    if let Some(missing) = MISSING.into_iter().find(|missing| script.is_word(missing)) {
        let why = "a script describes one job, with CREATE, SET and INSERT INTO";
        return Err(SqlError::not_supported(place, missing, why));
    }
    Err(script.expected("a statement"))
}

fn create(script: &mut Script) -> Result<Statement, SqlError> {
    let place = script.place();
    if script.word("OR") {
        return Err(SqlError::not_supported(place, "CREATE OR …", "drop it first"));
    }
    // All that a script creates is gone with it.
    let _ = script.word("TEMPORARY");
    if script.word("TABLE") {
        return Ok(Statement::CreateTable(Box::new(create_table::create_table(script)?)));
    }
    if script.word("VIEW") {
        let if_not_exists = if_not_exists(script)?;
        let name = script.relation_name()?;
        let columns = if script.is_symbol(&Token::LParen) { script.names()? } else { Vec::new() };
        if script.word("COMMENT") {
            script.text("a comment in quotes")?;
        }
        script.require_word("AS")?;
        return Ok(Statement::CreateView(CreateView { name, if_not_exists, columns, query: script.query()? }));
    }
    for missing in ["CATALOG", "DATABASE", "FUNCTION", "SYSTEM", "MODEL", "MATERIALIZED", "CONNECTION"] {
        if script.is_word(missing) {
            return Err(SqlError::not_supported(place, format!("CREATE {missing}"), ""));
        }
    }
    Err(script.expected("TABLE or VIEW"))
}

fn drop(script: &mut Script) -> Result<Statement, SqlError> {
    let place = script.place();
    let _ = script.word("TEMPORARY");
    let what = match () {
        () if script.word("TABLE") => RelationKind::Table,
        () if script.word("VIEW") => RelationKind::View,
        () => return Err(SqlError::not_supported(place, "DROP of anything but tables and views", "")),
    };
    let if_exists = script.word("IF");
    if if_exists {
        script.require_word("EXISTS")?;
    }
    Ok(Statement::Drop(Drop { what, name: script.relation_name()?, if_exists }))
}

/// `IF NOT EXISTS`
fn if_not_exists(script: &mut Script) -> Result<bool, SqlError> {
    let found = script.word("IF");
    if found {
        script.require_word("NOT")?;
        script.require_word("EXISTS")?;
    }
    Ok(found)
}

/// What follows `INSERT`.
fn insert(script: &mut Script) -> Result<Insert, SqlError> {
    let place = script.place();
    if script.word("OVERWRITE") {
        return Err(SqlError::not_supported(
            place,
            "INSERT OVERWRITE",
            "it replaces what is there; INSERT INTO adds to it",
        ));
    }
    script.require_word("INTO")?;
    let table = script.relation_name()?;
    let place = script.place();
    if script.word("PARTITION") {
        return Err(SqlError::not_supported(
            place,
            "INSERT INTO … PARTITION",
            "select the partition's values as columns",
        ));
    }
    let columns = if script.is_symbol(&Token::LParen) && script.names_follow() { script.names()? } else { Vec::new() };
    let query_place = script.place();
    Ok(Insert { table, columns, query: script.query()?, query_place })
}

/// What follows `EXECUTE STATEMENT SET`.
fn statement_set(script: &mut Script) -> Result<Statement, SqlError> {
    script.require_word("BEGIN")?;
    insertions(script)
}

fn insertions(script: &mut Script) -> Result<Statement, SqlError> {
    let mut inserts = Vec::new();
    loop {
        while script.symbol(&Token::SemiColon) {}
        if script.word("END") {
            break;
        }
        script.require_word("INSERT")?;
        inserts.push(insert(script)?);
        if !script.is_symbol(&Token::SemiColon) {
            return Err(script.expected("`;`"));
        }
    }
    if inserts.is_empty() {
        return Err(script.expected("INSERT INTO in a statement set"));
    }
    Ok(Statement::StatementSet(inserts))
}

/// Whether a word stands for a name of its own although SQL has a use for it.
fn is_reserved(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM)
}

#[cfg(test)]
mod tests;
