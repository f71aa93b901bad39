//! Passwords, in each of the ways in which PostgreSQL asks for them.

use harness::Postgres;
use realtime_server::tenants::database::log::LogError;

use crate::reader::{cluster, open, options, refusal};

/// Makes the database ask for passwords by this method, and sets the role's.
fn require_password(postgres: &Postgres, method: &str, encryption: &str) {
    postgres.sql(&format!(
        "SET password_encryption = '{encryption}'; CREATE ROLE reader LOGIN REPLICATION PASSWORD 'pa=ss,wörd'"
    ));
    let rules = format!("host all reader 127.0.0.1/32 {method}\nhost all postgres 127.0.0.1/32 trust\n");
    postgres.write_file("pg_hba.conf", rules.as_bytes());
    postgres.sql("SELECT pg_reload_conf()");
}

#[tokio::test]
async fn the_right_password_is_accepted_and_a_wrong_one_is_not() {
    for (method, encryption) in
        [("scram-sha-256", "scram-sha-256"), ("md5", "md5"), ("password", "scram-sha-256")]
    {
        let postgres = cluster(&[]);
        require_password(&postgres, method, encryption);
        let mut options = options(&postgres);
        options.user = "reader".into();
        options.password = "wrong".into();
        let error = refusal(&options).await;
        assert!(
            matches!(&error, LogError::Authentication(text) if text.contains("reader")),
            "{method}: {error}"
        );
        options.password = "pa=ss,wörd".into();
        open(&options).await;
    }
}

#[tokio::test]
async fn a_role_that_may_not_connect_is_refused() {
    let postgres = cluster(&[]);
    postgres.write_file("pg_hba.conf", b"host all postgres 127.0.0.1/32 trust\n");
    postgres.sql("CREATE ROLE reader LOGIN REPLICATION; SELECT pg_reload_conf()");
    let mut options = options(&postgres);
    options.user = "reader".into();
    let error = refusal(&options).await;
    assert!(matches!(error, LogError::Authentication(_)), "{error}");
}
