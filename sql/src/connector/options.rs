//! The options of a table, each of which somebody must ask for.

use std::str::FromStr;

use crate::catalog::Table;
use crate::error::SqlError;
use crate::statement::TableOption;

/// What is left of a table's options, and what was asked for.
#[derive(Debug)]
pub struct Options<'a> {
    table: &'a Table,
    left: Vec<&'a TableOption>,
    asked: Vec<&'static str>,
}

impl<'a> Options<'a> {
    pub(super) fn of(table: &'a Table) -> Self {
        Self { table, left: table.options.iter().collect(), asked: Vec::new() }
    }

    /// The option of this key, if the table has it.
    pub fn take(&mut self, key: &'static str) -> Option<&'a TableOption> {
        self.asked.push(key);
        let index = self.left.iter().position(|option| option.key == key)?;
        Some(self.left.swap_remove(index))
    }

    /// The value of this key.
    ///
    /// # Errors
    ///
    /// When the table does not have it.
    pub fn require(&mut self, key: &'static str) -> Result<&'a str, SqlError> {
        let table = self.table;
        self.take(key)
            .map(|option| option.value.as_str())
            .ok_or_else(|| SqlError::table(table.place, &table.name, format!("the option '{key}' is missing")))
    }

    /// The value of this key as a number or whatever else it is.
    ///
    /// # Errors
    ///
    /// When it is not `expected`.
    pub fn parse<T: FromStr>(&mut self, key: &'static str, expected: &str) -> Result<Option<T>, SqlError> {
        let Some(option) = self.take(key) else { return Ok(None) };
        let value = option.value.trim().parse().map_err(|_| self.refuse(option, expected))?;
        Ok(Some(value))
    }

    /// Whether the value of this key is `true`; it is not when there is none.
    ///
    /// # Errors
    ///
    /// When it is neither `true` nor `false`.
    pub fn is_on(&mut self, key: &'static str) -> Result<bool, SqlError> {
        let Some(option) = self.take(key) else { return Ok(false) };
        match option.value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.refuse(option, "true or false")),
        }
    }

    /// How many readers or writers this key asks for.
    ///
    /// # Errors
    ///
    /// When that is no number from 1.
    pub fn parallelism(&mut self, key: &'static str) -> Result<Option<u32>, SqlError> {
        Ok(self.parse::<std::num::NonZeroU32>(key, "a number from 1")?.map(std::num::NonZeroU32::get))
    }

    /// That the value of an option is not as it should be.
    pub fn refuse(&self, option: &TableOption, expected: &str) -> SqlError {
        let message = format!("'{}' is '{}', expected {expected}", option.key, option.value);
        SqlError::table(option.place.or(self.table.place), &self.table.name, message)
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self) -> Result<(), SqlError> {
        match self.left.first() {
            None => Ok(()),
            Some(option) => Err(SqlError::unknown(option.place, "option", &option.key, self.asked)),
        }
    }
}
