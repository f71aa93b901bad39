//! A standby: a copy of a cluster, which follows its log.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use super::{Cluster, Postgres, USER, free_port, give_away};

impl Postgres {
    /// A standby of the cluster, which is [alone](Self::alone), and is stopped for a moment. `None` for versions whose standbys do not
    /// decode the log.
    ///
    /// # Panics
    /// When one of the two does not start.
    pub fn standby(&self) -> Option<Postgres> {
        if self.sql("SELECT current_setting('server_version_num')::int < 160000") == "t" {
            println!("SKIPPED: a standby that decodes the log: the server is older than PostgreSQL 16");
            return None;
        }
        self.end(Signal::INT);
        let cluster = Arc::new(self.cluster.standby());
        self.start_again();
        cluster.run();
        Some(Postgres { cluster, database: self.database.clone() })
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
