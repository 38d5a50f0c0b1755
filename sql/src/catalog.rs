//! What a script has created: tables and views, by name. Names are told apart by case, as in Flink.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_sql::sqlparser::ast::{Ident, Query};

use crate::error::{Cause, Place, SqlError};
use crate::statement::{
    ColumnDefinition, ColumnKind, CreateTable, CreateView, Drop, RelationKind, TableOption, Watermark,
};

/// Tables and views.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    relations: BTreeMap<String, Relation>,
}

/// What a name in `FROM` stands for.
#[derive(Debug, Clone)]
pub(crate) enum Relation {
    Table(Arc<Table>),
    View(Arc<View>),
}

impl Relation {
    const fn kind(&self) -> RelationKind {
        match self {
            Self::Table(_) => RelationKind::Table,
            Self::View(_) => RelationKind::View,
        }
    }
}

/// A table, as it was created.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Where its name is in the script.
    pub place: Option<Place>,
    /// In their order.
    pub columns: Vec<ColumnDefinition>,
    /// Where its event time comes from.
    pub watermark: Option<Watermark>,
    /// What `WITH` says, with what a table that it is like says.
    pub options: Vec<TableOption>,
    /// The columns by whose values rows are spread.
    pub partitioned_by: Vec<String>,
}

impl Table {
    /// The columns that are stored: what is read and written.
    pub fn stored(&self) -> SchemaRef {
        let field = |column: &ColumnDefinition| match &column.kind {
            ColumnKind::Physical(of) => Some(Field::new(&column.name.value, of.data_type.clone(), of.nullable)),
            ColumnKind::Computed(_) | ColumnKind::Metadata => None,
        };
        Arc::new(Schema::new(self.columns.iter().filter_map(field).collect::<Vec<_>>()))
    }
}

/// A view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    pub(crate) query: Box<Query>,
    /// Its columns' names; empty: those of the query.
    pub(crate) columns: Vec<String>,
}

impl Catalog {
    pub(crate) fn get(&self, name: &str) -> Option<&Relation> {
        self.relations.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.relations.keys().map(String::as_str)
    }

    /// A table to be inserted into.
    pub(crate) fn table(&self, name: &Ident) -> Result<&Arc<Table>, SqlError> {
        let place = Place::start(name.span);
        match self.get(&name.value) {
            Some(Relation::Table(table)) => Ok(table),
            Some(Relation::View(_)) => {
                Err(SqlError::not_supported(place, "INSERT INTO a view", "it shows what tables hold"))
            }
            None => Err(SqlError::unknown(place, "table", &name.value, self.names())),
        }
    }

    pub(crate) fn create_table(&mut self, create: CreateTable) -> Result<(), SqlError> {
        let name = create.name.clone();
        let if_not_exists = create.if_not_exists;
        if self.is_taken(&name, if_not_exists)? {
            return Ok(());
        }
        let table = self.complete(create)?;
        check(&table)?;
        self.relations.insert(name.value, Relation::Table(Arc::new(table)));
        Ok(())
    }

    /// Adds a view, whose query is known to make sense.
    pub(crate) fn create_view(&mut self, create: CreateView) -> Result<(), SqlError> {
        if self.is_taken(&create.name, create.if_not_exists)? {
            return Ok(());
        }
        let columns = create.columns.into_iter().map(|name| name.value).collect();
        let view = View { query: create.query, columns };
        self.relations.insert(create.name.value, Relation::View(Arc::new(view)));
        Ok(())
    }

    pub(crate) fn drop(&mut self, drop: &Drop) -> Result<(), SqlError> {
        let kind = self.get(&drop.name.value).map(Relation::kind);
        if kind == Some(drop.what) {
            self.relations.remove(&drop.name.value);
        } else if !drop.if_exists {
            let known = self.relations.iter().filter(|(_, relation)| relation.kind() == drop.what);
            let known = known.map(|(name, _)| name.as_str());
            return Err(SqlError::unknown(Place::start(drop.name.span), drop.what.name(), &drop.name.value, known));
        }
        Ok(())
    }

    fn is_taken(&self, name: &Ident, if_not_exists: bool) -> Result<bool, SqlError> {
        match self.get(&name.value) {
            None => Ok(false),
            Some(_) if if_not_exists => Ok(true),
            Some(relation) => {
                let cause = Cause::Exists { kind: relation.kind().name(), name: name.value.clone() };
                Err(SqlError::at(Place::start(name.span), cause))
            }
        }
    }

    /// The table with what it has from the one that it is like.
    fn complete(&self, create: CreateTable) -> Result<Table, SqlError> {
        let mut table = Table {
            name: create.name.value,
            place: Place::start(create.name.span),
            columns: create.columns,
            watermark: create.watermark,
            options: create.options,
            partitioned_by: create.partitioned_by.iter().map(|name| name.value.clone()).collect(),
        };
        if let Some(like) = create.like {
            let base = Arc::clone(self.table(&like)?);
            table.columns = base.columns.iter().cloned().chain(table.columns).collect();
            table.watermark = table.watermark.or_else(|| base.watermark.clone());
            let own: Vec<TableOption> = std::mem::take(&mut table.options);
            let is_overwritten = |option: &&TableOption| own.iter().any(|own| own.key == option.key);
            table.options = base.options.iter().filter(|option| !is_overwritten(option)).cloned().collect();
            table.options.extend(own);
            if table.partitioned_by.is_empty() {
                table.partitioned_by = base.partitioned_by.clone();
            }
        }
        let names = || table.columns.iter().map(|column| column.name.value.as_str());
        if let Some(name) = create
            .primary_key
            .iter()
            .chain(&create.partitioned_by)
            .find(|name| !names().any(|known| known == name.value))
        {
            return Err(SqlError::unknown(Place::start(name.span), "column", &name.value, names()));
        }
        Ok(table)
    }
}

fn check(table: &Table) -> Result<(), SqlError> {
    let mut names = std::collections::BTreeSet::new();
    for column in &table.columns {
        if !names.insert(&column.name.value) {
            let cause = Cause::Exists { kind: "column", name: column.name.value.clone() };
            return Err(SqlError::at(Place::start(column.name.span), cause));
        }
    }
    if table.columns.is_empty() {
        return Err(SqlError::table(table.place, &table.name, "it has no columns"));
    }
    if let Some(watermark) = &table.watermark
        && !names.contains(&watermark.column.value)
    {
        let known = names.iter().map(|name| name.as_str());
        return Err(SqlError::unknown(Place::start(watermark.column.span), "column", &watermark.column.value, known));
    }
    Ok(())
}
