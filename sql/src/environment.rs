//! Runs scripts: keeps what they create and set, and turns what they insert into operators of one job.

use pelton::StreamExecutionEnvironment;
use pelton_runtime_core::config::options;

use crate::catalog::Catalog;
use crate::connector::Connectors;
use crate::error::{Cause, Place, SqlError};
use crate::lowering::Lowering;
use crate::parse::parse_script;
use crate::planner;
use crate::statement::{Insert, Located, Statement};

/// Tables and views, and the job that reads and writes them.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let environment = pelton::testing::mini_cluster(1);
/// let mut tables = pelton_sql::TableEnvironment::new(environment.clone());
/// tables.describe(
///     "CREATE TABLE out (n BIGINT, word STRING) WITH ('connector' = 'print');
///      INSERT INTO out SELECT n * 2, UPPER(word) FROM (VALUES (1, 'a'), (2, 'b')) AS t (n, word) WHERE n > 1;",
/// )?;
/// environment.execute("")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TableEnvironment {
    environment: StreamExecutionEnvironment,
    catalog: Catalog,
    connectors: Connectors,
    inserts: Inserts,
}

/// What a job consists of so far.
#[derive(Debug, PartialEq, Eq)]
enum Inserts {
    None,
    Complete,
}

impl TableEnvironment {
    /// Nothing is created yet; insertions become operators of `environment`.
    pub fn new(environment: StreamExecutionEnvironment) -> Self {
        let (catalog, connectors) = (Catalog::default(), Connectors::default());
        Self { environment, catalog, connectors, inserts: Inserts::None }
    }

    /// The connectors, to add some.
    pub fn connectors_mut(&mut self) -> &mut Connectors {
        &mut self.connectors
    }

    /// Does what a script says. Its insertions run when the environment is executed.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. What came before it holds.
    pub fn describe(&mut self, script: &str) -> Result<(), SqlError> {
        for located in parse_script(script)? {
            let place = located.place;
            self.statement(located).map_err(|error| error.or_at(place))?;
        }
        Ok(())
    }

    /// Whether there is anything to run.
    pub fn has_inserts(&self) -> bool {
        self.inserts == Inserts::Complete
    }

    fn statement(&mut self, located: Located) -> Result<(), SqlError> {
        match located.statement {
            Statement::CreateTable(create) => self.catalog.create_table(*create),
            Statement::CreateView(create) => {
                // A view that makes no sense is refused here, not where somebody reads it.
                planner::plan_query(&self.catalog, &create.query)?;
                self.catalog.create_view(create)
            }
            Statement::Drop(drop) => self.catalog.drop(&drop),
            Statement::Set { key, value } => self.set(&key, &value),
            Statement::Reset { .. } => Err(SqlError::not_supported(located.place, "RESET", "leave out the SET")),
            Statement::Insert(insert) => self.inserts(&[insert], located.place),
            Statement::StatementSet(inserts) => self.inserts(&inserts, located.place),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), SqlError> {
        let configured = self.environment.configure(key, value);
        configured.map(|_| ()).map_err(|error| {
            let message = pelton_runtime_core::failure::error_chain(&error);
            SqlError::at(None, Cause::Configuration { message })
        })
    }

    fn inserts(&mut self, inserts: &[Insert], place: Option<Place>) -> Result<(), SqlError> {
        if self.inserts == Inserts::Complete {
            let why = "a script is one job: put its insertions into EXECUTE STATEMENT SET BEGIN … END";
            return Err(SqlError::not_supported(place, "a second INSERT", why));
        }
        let mut tables = Vec::with_capacity(inserts.len());
        // What several insertions read is read once.
        let lowering = Lowering::new(&self.environment, &self.connectors);
        for insert in inserts {
            let table = std::sync::Arc::clone(self.catalog.table(&insert.table)?);
            let plan = planner::plan_insert(&self.catalog, &table, insert)?;
            lowering.insert(&plan, &table).map_err(|error| error.or_at(insert.query_place))?;
            tables.push(format!("default_catalog.default_database.{}", table.name));
        }
        self.inserts = Inserts::Complete;
        if self.environment.configuration().get(&options::pipeline::NAME).is_none() {
            self.set(options::pipeline::NAME.key(), &format!("insert-into_{}", tables.join(",")))?;
        }
        Ok(())
    }
}
