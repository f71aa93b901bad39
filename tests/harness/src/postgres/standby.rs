//! A standby: a copy of a cluster, which follows its log.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Cluster, Postgres, START_MAX, USER, free_port, give_away};

impl Postgres {
    /// A standby of the cluster, which is [alone](Self::alone), and is stopped for a moment.
    ///
    /// # Panics
    /// When one of the two does not start.
    pub fn standby(&self) -> Postgres {
        self.end(Signal::INT);
        let cluster = Arc::new(self.cluster.standby());
        self.start_again();
        cluster.run();
        Postgres { cluster, database: self.database.clone() }
    }

    /// As [`standby`](Self::standby). `None` for versions whose standbys do not decode the log.
    ///
    /// # Panics
    /// As there.
    pub fn decoding_standby(&self) -> Option<Postgres> {
        if !self.standbys_decode() {
            println!("SKIPPED: a standby that decodes the log: the server is older than PostgreSQL 16");
            return None;
        }
        Some(self.standby())
    }

    /// As [`standby`](Self::standby), which refuses to decode the log, as a reader of Aurora does. `None` for versions whose standbys
    /// decode it: there, making a slot waits until the primary writes what transactions it runs.
    ///
    /// # Panics
    /// As there.
    pub fn standby_without_decoding(&self) -> Option<Postgres> {
        if self.standbys_decode() {
            println!("SKIPPED: a standby that does not decode the log: the server is PostgreSQL 16 or later");
            return None;
        }
        Some(self.standby())
    }

    fn standbys_decode(&self) -> bool {
        self.sql("SELECT current_setting('server_version_num')::int >= 160000") == "t"
    }

    /// Makes this standby a primary, with all that `primary` has. Sessions of `primary` stay open, and are read-only from now on, as
    /// new ones.
    ///
    /// # Panics
    /// When it does not follow it.
    pub fn take_over_from(&self, primary: &Postgres) {
        primary.sql("ALTER SYSTEM SET default_transaction_read_only = on");
        primary.sql("SELECT pg_reload_conf()");
        let (read_only, started) = ("SHOW default_transaction_read_only", Instant::now());
        while primary.sql(read_only) != "on" {
            assert!(started.elapsed() < START_MAX, "the primary does not read its settings");
            thread::sleep(Duration::from_millis(20));
        }
        let end = primary.sql("SELECT pg_current_wal_lsn()");
        while self.sql(&format!("SELECT pg_last_wal_replay_lsn() >= '{end}'")) != "t" {
            assert!(started.elapsed() < START_MAX, "the standby does not follow its primary");
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.sql("SELECT pg_promote()"), "t", "it is promoted");
    }
}

impl Cluster {
    /// A copy of this one, which is stopped.
    fn standby(&self) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder for PostgreSQL");
        give_away(folder.path());
        let data = folder.path().join("data");
        let mut copy = Command::new("cp");
        let copied = copy.arg("-a").arg(self.folder.path().join("data")).arg(&data).status();
        assert!(copied.expect("`cp` is installed").success(), "the data of the cluster is copied");
        let signal = data.join("standby.signal");
        fs::write(&signal, "").expect("a file");
        give_away(&signal);
        let mut settings = self.settings.clone();
        settings.push(format!("primary_conninfo=host=127.0.0.1 port={} user={USER}", self.port));
        settings.push("hot_standby_feedback=on".to_owned());
        let (programs, port) = (self.programs.clone(), free_port());
        Cluster { server: Mutex::new(None), folder, programs, port, settings }
    }
}
