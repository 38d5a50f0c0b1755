//! `CREATE TABLE`, what follows these words.
//!
//! ```text
//!  [IF NOT EXISTS] name [( column | WATERMARK FOR … | PRIMARY KEY … , … )] [COMMENT '…'] [PARTITIONED BY (…)]
//!                       [WITH ('key' = 'value', …)] [LIKE other]
//! ```

use datafusion_sql::sqlparser::ast::Ident;
use datafusion_sql::sqlparser::tokenizer::Token;

use crate::error::{Place, SqlError};
use crate::statement::{ColumnDefinition, ColumnKind, CreateTable, TableOption, Watermark};

use super::data_type::column_type;
use super::script::Script;

pub(super) fn create_table(script: &mut Script) -> Result<CreateTable, SqlError> {
    let if_not_exists = super::if_not_exists(script)?;
    let mut table = CreateTable {
        name: script.relation_name()?,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Vec::new(),
        like: None,
    };
    if script.symbol(&Token::LParen) {
        loop {
            element(script, &mut table)?;
            if !script.symbol(&Token::Comma) {
                break;
            }
        }
        script.require_symbol(&Token::RParen, "`,` or `)`")?;
    }
    if script.word("COMMENT") {
        script.text("a comment in quotes")?;
    }
    let place = script.place();
    if script.word("DISTRIBUTED") {
        return Err(SqlError::not_supported(place, "DISTRIBUTED", ""));
    }
    if script.word("PARTITIONED") {
        script.require_word("BY")?;
        table.partitioned_by = script.names()?;
    }
    if script.word("WITH") {
        table.options = options(script)?;
    }
    let place = script.place();
    if script.word("LIKE") {
        table.like = Some(script.relation_name()?);
        if script.is_symbol(&Token::LParen) {
            return Err(SqlError::not_supported(
                script.place(),
                "LIKE with INCLUDING or EXCLUDING",
                "all is included, and options may be overwritten",
            ));
        }
    } else if script.word("AS") {
        return Err(SqlError::not_supported(
            place,
            "CREATE TABLE … AS SELECT",
            "create the table, then insert into it",
        ));
    }
    Ok(table)
}

/// What stands between the commas.
fn element(script: &mut Script, table: &mut CreateTable) -> Result<(), SqlError> {
    let place = script.place();
    if script.is_word("WATERMARK") && script.is_nth_word(1, "FOR") {
        script.skip();
        script.skip();
        if table.watermark.is_some() {
            return Err(SqlError::table(place, &table.name.value, "there may be one watermark"));
        }
        let column = script.name()?;
        if script.is_symbol(&Token::Period) {
            return Err(SqlError::not_supported(
                script.place(),
                "a watermark for a field of a row",
                "compute a column from it",
            ));
        }
        script.require_word("AS")?;
        table.watermark = Some(Watermark { column, expression: script.expression()? });
        return Ok(());
    }
    if script.is_word("CONSTRAINT") && !script.is_nth_word(1, "AS") {
        script.skip();
        script.name()?;
        return primary_key(script, table);
    }
    if script.is_word("PRIMARY") && script.is_nth_word(1, "KEY") {
        return primary_key(script, table);
    }
    if script.is_word("UNIQUE") {
        return Err(SqlError::not_supported(place, "UNIQUE", "PRIMARY KEY … NOT ENFORCED says that rows are unique"));
    }
    let name = script.name()?;
    let column = column(script, table, name)?;
    table.columns.push(column);
    Ok(())
}

fn primary_key(script: &mut Script, table: &mut CreateTable) -> Result<(), SqlError> {
    let place = script.place();
    script.require_word("PRIMARY")?;
    script.require_word("KEY")?;
    let columns = script.names()?;
    set_primary_key(script, table, place, columns)
}

fn set_primary_key(
    script: &mut Script,
    table: &mut CreateTable,
    place: Option<Place>,
    columns: Vec<Ident>,
) -> Result<(), SqlError> {
    if !script.is_word("NOT") || !script.is_nth_word(1, "ENFORCED") {
        return Err(script.expected("NOT ENFORCED: nobody owns the data, so nobody can keep the key unique"));
    }
    script.skip();
    script.skip();
    if !table.primary_key.is_empty() {
        return Err(SqlError::table(place, &table.name.value, "there may be one primary key"));
    }
    table.primary_key = columns;
    Ok(())
}

fn column(script: &mut Script, table: &mut CreateTable, name: Ident) -> Result<ColumnDefinition, SqlError> {
    let kind = if script.word("AS") {
        ColumnKind::Computed(Box::new(script.expression()?))
    } else {
        let of = column_type(script)?;
        if script.word("METADATA") {
            if script.word("FROM") {
                script.text("the metadata's key in quotes")?;
            }
            let _ = script.word("VIRTUAL");
            ColumnKind::Metadata
        } else {
            ColumnKind::Physical(of)
        }
    };
    let place = script.place();
    if script.is_word("PRIMARY") {
        script.skip();
        script.require_word("KEY")?;
        set_primary_key(script, table, place, vec![name.clone()])?;
    }
    if script.word("COMMENT") {
        script.text("a comment in quotes")?;
    }
    Ok(ColumnDefinition { name, kind })
}

fn options(script: &mut Script) -> Result<Vec<TableOption>, SqlError> {
    script.require_symbol(&Token::LParen, "`(`")?;
    let mut options: Vec<TableOption> = Vec::new();
    loop {
        let place = script.place();
        let key = script.text("an option in quotes: 'key' = 'value'")?;
        script.require_symbol(&Token::Eq, "`=`")?;
        let value = script.text("a value in quotes")?;
        if options.iter().any(|known| known.key == key) {
            let cause = crate::error::Cause::Exists { kind: "option", name: key };
            return Err(SqlError::at(place, cause));
        }
        options.push(TableOption { key, value, place });
        if !script.symbol(&Token::Comma) {
            break;
        }
    }
    script.require_symbol(&Token::RParen, "`,` or `)`")?;
    Ok(options)
}
