//! The database of a tenant: private rooms, and broadcasts from it.

pub(super) mod arrivals;
mod broadcasts;
pub(super) mod commits;
mod joins;
mod saturated;
mod stopped;

use anyhow::Result;

use super::Bench;
use crate::connection::Listener;
use crate::machine::Deadline;
use crate::message::Privacy;
use crate::postgres::Database;
use crate::server::Target;
use crate::session::Session;
use crate::setup::Setup;
use crate::swarm::Swarm;

pub use self::broadcasts::run as broadcasts;
pub use self::joins::run as joins;
pub use self::saturated::run as saturated;
pub use self::stopped::run as stopped;

/// The room of these workloads: its number, and its name in SQL.
pub(super) const ROOM: (u32, &str) = (0, "room-0000");

/// A row for each member, looked up by its token and the room. There are as many as members of any workload, and as `pgbench` has.
const POLICIES: &str = "
    CREATE TABLE room_members (room text, member text, PRIMARY KEY (room, member));
    INSERT INTO room_members SELECT 'room-0000', 'member-' || lpad(number::text, 5, '0') FROM generate_series(0, 19999) AS number;
    GRANT SELECT ON room_members TO authenticated;
    ANALYZE room_members;
    CREATE FUNCTION is_member() RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT EXISTS (
            SELECT FROM public.room_members
            WHERE room = realtime.topic() AND member = current_setting('request.jwt.claims')::jsonb ->> 'sub')
    $$;
    CREATE POLICY members_read ON realtime.messages FOR SELECT TO authenticated USING (public.is_member());
    CREATE POLICY members_write ON realtime.messages FOR INSERT TO authenticated WITH CHECK (public.is_member());";

/// Skips what arrives.
struct Ignored;

impl Listener for Ignored {
    fn frame(&mut self, _: usize, _: u8, _: &[u8]) {}
}

/// A PostgreSQL that is the database of the default tenant.
pub(super) struct TenantDatabase {
    pub(super) database: Database,
}

impl TenantDatabase {
    /// Starts one. A server has made the schema `realtime` there, and members of the room may read and write.
    pub(super) fn start(bench: &Bench) -> Result<Self> {
        let database = Database::start(bench.cores, &["wal_level=logical"])?;
        let started = Self { database };
        let target = started.serve(bench)?;
        started.connect(&target)?;
        Session::connect(&started.database)?.run(POLICIES)?;
        Ok(started)
    }

    /// Starts a server that uses it.
    pub(super) fn serve(&self, bench: &Bench) -> Result<Target> {
        self.serve_with(bench, Vec::new())
    }

    /// The same with further settings.
    pub(super) fn serve_with(
        &self,
        bench: &Bench,
        mut variables: Vec<(&'static str, String)>,
    ) -> Result<Target> {
        variables.push(("REALTIME__TENANTS__DEFAULT__DATABASE__URL", self.database.url()));
        bench.start_with(&Setup { variables, ..Setup::default() })
    }

    /// Waits until PostgreSQL has noticed the end of the last server.
    pub(super) fn until_no_slot(&self) -> Result<()> {
        Session::connect(&self.database)?.run(
            "DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_replication_slots) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$",
        )
    }

    /// A client joins a public room, upon which the server connects.
    fn connect(&self, target: &Target) -> Result<()> {
        let entry = target.entry_with(&target.token(0)?, ROOM.0, Privacy::Public);
        let mut swarm = Swarm::new()?;
        swarm.enter(target.address, [entry], &mut Ignored, Deadline::after(JOINED_MAX))?;
        target.wait_for_log("Reading broadcasts from the database of the tenant")
    }
}

/// How long members may take to join.
const JOINED_MAX: std::time::Duration = std::time::Duration::from_secs(30);
