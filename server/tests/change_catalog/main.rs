//! What Postgres Changes asks the database of a tenant.

mod check;
mod comparisons;
mod rights;
mod tables;
mod values;
mod visibility;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use harness::{Postgres, WAIT_MAX};
use hub::MemoryBudget;
use realtime_server::auth::jwks::JwksSources;
use realtime_server::telemetry::metrics::Metrics;
use realtime_server::tenants::database::changes::{
    ChangeTable, Comparison, LoggedRows, LookupError, Publication, RowKey, TypedText, VisibilityQuestion,
};
use realtime_server::tenants::database::{DatabaseFailure, TenantDatabase};
use realtime_server::tenants::{Databases, Registry};
use secrecy::SecretString;
use settings::Settings;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::supabase::changes::FilterOperator;

/// A database with the roles of clients, as the server uses it.
pub struct Catalog {
    /// The database; closed before its server.
    pub database: Arc<TenantDatabase>,
    /// Its server.
    pub postgres: Postgres,
    stop: CancellationToken,
}

impl Drop for Catalog {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Catalog {
    /// One in which these statements have run.
    pub async fn with(statements: &str) -> Catalog {
        Self::with_query_timeout(WAIT_MAX, statements).await
    }

    /// As [`with`](Self::with); a question may take this long.
    pub async fn with_query_timeout(timeout: Duration, statements: &str) -> Catalog {
        let postgres = Postgres::start();
        let url = postgres.url();
        let catalog = Self::at(postgres, url, timeout).await;
        catalog.postgres.sql(statements);
        catalog
    }

    /// As the server uses the database of `postgres` by this URL.
    pub async fn at(postgres: Postgres, url: String, query_timeout: Duration) -> Catalog {
        let mut settings = Settings::default();
        let database = settings::TenantDatabase {
            url: Some(SecretString::from(url)),
            query_timeout: Some(query_timeout),
            ..Default::default()
        };
        let tenant = settings::Tenant { database, ..Default::default() };
        settings.tenants = BTreeMap::from([("acme".to_owned(), tenant)]);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let jwks = JwksSources::new(tasks.clone(), stop.clone());
        let metrics = Arc::new(Metrics::new(Vec::new()));
        let registry = Registry::new(&settings, jwks, (&metrics, &MemoryBudget::new(usize::MAX, 75)));
        let databases = Databases::new(tasks, stop.clone());
        databases.note_use(&registry.get("acme").expect("it is configured"));
        let database = databases.get("acme").expect("it has a database");
        // Until it can be used.
        drop(database.acquire().await.expect("a connection"));
        Catalog { database, postgres, stop }
    }

    /// The id of a table.
    pub fn oid(&self, table: &str) -> u32 {
        self.postgres.sql(&format!("SELECT '{table}'::regclass::oid")).parse().expect("an oid")
    }

    /// The description of a table.
    pub async fn table(&self, table: &str) -> ChangeTable {
        let mut tables = self.database.describe_tables(&[self.oid(table)]).await.expect("an answer");
        tables.pop().expect("it exists")
    }
}

/// The failure of a question that is not to be asked again.
fn failure<T>(asked: Result<T, LookupError>) -> DatabaseFailure {
    match asked {
        Err(LookupError::Failed(failure)) => failure,
        Err(LookupError::Hindered(hindrance)) => panic!("{hindrance:?}"),
        Ok(_) => panic!("it has an answer"),
    }
}

#[tokio::test]
async fn all_questions_can_be_asked_in_a_task() {
    let catalog =
        Catalog::with("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t").await;
    let (database, oid) = (Arc::clone(&catalog.database), catalog.oid("t"));
    let task = tokio::spawn(async move {
        let table = database.describe_tables(&[oid]).await.unwrap().pop().unwrap();
        assert_eq!(database.publication("p").await.unwrap(), Publication::WithTables);
        assert_eq!(database.table_rights(&[oid], &["anon"]).await.unwrap().len(), 1);
        assert_eq!(database.check_joins("p", "anon", &[&[]]).await.unwrap(), [Ok(vec![])]);
        let keys: [RowKey; 1] = [["1".into()].into()];
        let questions = [VisibilityQuestion { role: "service_role", claims: "{}", keys: &[0] }];
        let rows = LoggedRows { keys: &keys, values: &[], transactions: &[] };
        database.visible_rows(&table, rows, &questions).await.unwrap();
        assert_eq!(database.present_values(&table, rows, &[1]).await.unwrap(), Some(vec![None]));
        let value = TypedText { type_oid: 23, text: "7" };
        assert_eq!(database.some_as_json(&[value]).await.unwrap(), [Ok("7".into())]);
        let comparison =
            Comparison { type_oid: 25, operator: FilterOperator::Like, row: Some("a"), value: "a" };
        assert_eq!(database.compare_in_database(&[comparison]).await.unwrap(), [Ok(Some(true))]);
    });
    task.await.unwrap();
}
