//! The partitions of `realtime.messages`: one for each day in UTC, made ahead and dropped when it is over.
//!
//! A message without a partition for its day is refused by PostgreSQL, so partitions must be made also while the server stays
//! connected for weeks. Days are counted here and not in the database, whose time zone may be another one.
//!
//! A partition has row level security of its own and no grants: the policies of `realtime.messages` apply only to those who
//! use it by that name.

mod day;

use sqlx::error::DatabaseError;
use sqlx::{Connection as _, Executor as _, PgConnection};

pub use day::Day;

use super::schema::error::explained;
use super::schema::{SchemaError, within_time};

/// How many days there are partitions for, as upstream has it: yesterday, for clocks that differ and transactions that last,
/// today, and the next three, for a server that is stopped that long.
const DAYS: std::ops::RangeInclusive<i64> = -1..=3;

/// One node makes or drops partitions at a time. A lock that is not free soon is left to the next time, because later users of the
/// table wait behind this one. «rtpartit» in ASCII.
const BEGIN: &str = "SET LOCAL statement_timeout TO '30s';
    SET LOCAL lock_timeout TO '10s';
    SELECT pg_catalog.pg_advisory_xact_lock(x'7274706172746974'::bigint);
    SET LOCAL lock_timeout TO '2s';
    SET LOCAL client_min_messages TO warning;";

/// What [`drop_partitions_before`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DroppedPartitions {
    /// The days that are gone with their messages.
    pub dropped: Vec<Day>,
    /// The days whose partitions were in use. They may be dropped the next time.
    pub in_use: Vec<Day>,
}

/// Makes the partitions from the day before `today` to the third day after it that do not exist, and returns their days. May be
/// done by several nodes at once.
///
/// # Errors
/// The first one, after all days are tried: one that cannot be made is no reason to lack the others.
pub async fn make_partitions(connection: &mut PgConnection, today: Day) -> Result<Vec<Day>, SchemaError> {
    within_time(make_missing(connection, today)).await
}

async fn make_missing(connection: &mut PgConnection, today: Day) -> Result<Vec<Day>, SchemaError> {
    let (mut made, mut first_error) = (Vec::new(), None);
    for day in missing_days(connection, today).await? {
        match make_partition(connection, day).await {
            Ok(true) => made.push(day),
            Ok(false) => {}
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        None => Ok(made),
        Some(error) => Err(explained(connection, error).await),
    }
}

/// The days whose partitions [`make_partitions`] would make. Changes nothing.
///
/// # Errors
/// When the database does not answer, or refuses to.
pub async fn missing_partitions(connection: &mut PgConnection, today: Day) -> Result<Vec<Day>, SchemaError> {
    within_time(async { Ok(missing_days(connection, today).await?) }).await
}

async fn missing_days(connection: &mut PgConnection, today: Day) -> sqlx::Result<Vec<Day>> {
    let existing = days_of_partitions(connection).await?;
    Ok(DAYS.map(|days| today.plus(days)).filter(|day| !existing.contains(day)).collect())
}

/// The SQL that makes the partitions of `days`, to be run by hand: a transaction for each.
pub fn script(days: &[Day]) -> String {
    days.iter().map(|day| format!("BEGIN;\n{}COMMIT;\n", statements(*day))).collect()
}

/// Drops the partitions of the days before `first_kept`. Other tables stay, also partitions of other names.
///
/// # Errors
/// When one cannot be dropped for another reason than that it is in use.
pub async fn drop_partitions_before(
    connection: &mut PgConnection,
    first_kept: Day,
) -> Result<DroppedPartitions, SchemaError> {
    within_time(drop_before(connection, first_kept)).await
}

async fn drop_before(
    connection: &mut PgConnection,
    first_kept: Day,
) -> Result<DroppedPartitions, SchemaError> {
    let mut result = DroppedPartitions::default();
    for day in days_of_partitions(connection).await?.into_iter().filter(|day| *day < first_kept) {
        match drop_partition(connection, day).await {
            Ok(true) => result.dropped.push(day),
            Ok(false) => {}
            Err(error) if is_lock_timeout(&error) => result.in_use.push(day),
            Err(error) => return Err(explained(connection, error).await),
        }
    }
    Ok(result)
}

/// The days of the partitions that are named as days, in order.
async fn days_of_partitions(connection: &mut PgConnection) -> sqlx::Result<Vec<Day>> {
    let names = "SELECT child.relname::text
        FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS child ON child.oid = i.inhrelid
        JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent
        JOIN pg_catalog.pg_namespace AS n ON n.oid = parent.relnamespace AND n.oid = child.relnamespace
        WHERE n.nspname = 'realtime' AND parent.relname = 'messages' AND child.relispartition
        ORDER BY child.relname";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(connection).await?;
    Ok(names.iter().filter_map(|name| Day::of_partition(name)).collect())
}

/// Makes the partition of a day, unless another node has made it meanwhile.
async fn make_partition(connection: &mut PgConnection, day: Day) -> sqlx::Result<bool> {
    let mut transaction = connection.begin().await?;
    (&mut *transaction).execute(BEGIN).await?;
    if days_of_partitions(&mut transaction).await?.contains(&day) {
        transaction.rollback().await?;
        return Ok(false);
    }
    (&mut *transaction).execute(&*statements(day)).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The statements that make the partition of a day.
fn statements(day: Day) -> String {
    let (name, next) = (day.partition(), day.plus(1));
    // `CREATE TABLE … PARTITION OF` would lock out all users of `realtime.messages`; what this locks is only other changes of its
    // definition. It is locked first: to begin with less and ask for more can end in a deadlock.
    format!(
        "LOCK TABLE ONLY realtime.messages IN SHARE UPDATE EXCLUSIVE MODE;
         CREATE TABLE realtime.{name} (LIKE realtime.messages INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
         ALTER TABLE realtime.{name} ENABLE ROW LEVEL SECURITY;
         DO $$
         BEGIN
             EXECUTE pg_catalog.format('ALTER TABLE realtime.{name} OWNER TO %s', (SELECT relowner::pg_catalog.regrole
                 FROM pg_catalog.pg_class WHERE oid = 'realtime.messages'::pg_catalog.regclass));
         END
         $$;
         ALTER TABLE realtime.messages ATTACH PARTITION realtime.{name} FOR VALUES FROM ('{day}') TO ('{next}');\n"
    )
}

/// Drops the partition of a day, unless another node has dropped it meanwhile.
async fn drop_partition(connection: &mut PgConnection, day: Day) -> sqlx::Result<bool> {
    let mut transaction = connection.begin().await?;
    (&mut *transaction).execute(BEGIN).await?;
    if !days_of_partitions(&mut transaction).await?.contains(&day) {
        transaction.rollback().await?;
        return Ok(false);
    }
    (&mut *transaction).execute(&*format!("DROP TABLE realtime.{}", day.partition())).await?;
    transaction.commit().await?;
    Ok(true)
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("55P03")
}
