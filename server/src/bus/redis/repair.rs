//! Deletes keys of another type than they should have, so that their content is stored again.
//!
//! Anything that writes under `bus.prefix` may have set them, such as another program. By a script, because two nodes may
//! find the same key, and the second must not delete what the first has stored there by then. Without the permission
//! for scripts, rooms with such a key fail until an operator deletes it.

use redis::{Cmd, Value, cmd};

use super::connection::{Commands, RedisConnection};
use super::keys::Keys;
use crate::bus::{BusError, BusRejection, RejectedCommand, RoomName, StoredSnapshots};

/// Deletes a key unless it is a set or there is none. Returns whether it did.
const DELETE_UNLESS_SET: &str = "local found = redis.call('TYPE', KEYS[1]).ok \
                                 if found == 'set' or found == 'none' then return 0 end \
                                 return redis.call('DEL', KEYS[1])";

fn delete_unless_set(key: &str) -> Cmd {
    cmd("EVAL").arg(DELETE_UNLESS_SET).arg(1).arg(key).take()
}

/// Deletes those of the keys that should be sets and are not. Returns how many there were.
pub(super) async fn delete_other_types(
    connection: &RedisConnection,
    keys: Vec<String>,
) -> Result<usize, BusError> {
    let mut commands = Commands::default();
    keys.iter().for_each(|key| commands.push(&mut delete_unless_set(key)));
    let responses = connection.responses(commands).await?;
    Ok(responses.iter().filter(|response| matches!(response, Ok(Value::Int(1)))).count())
}

/// Deletes the lists of the nodes in these rooms that are of another type. The snapshots themselves are replaced when the
/// rooms are stored again.
#[derive(Clone)]
pub(super) struct RoomRepair {
    pub(super) keys: Keys,
    pub(super) connection: RedisConnection,
}

impl RoomRepair {
    /// Repairs the rooms of those commands that were rejected because of the type of a key, and returns all of them.
    pub(super) async fn after_rejections(
        &self,
        rejected: Vec<RejectedCommand>,
    ) -> Result<Vec<RejectedCommand>, BusError> {
        let damaged = rejected.iter().filter(|rejected| rejected.rejection == BusRejection::WrongType);
        let rooms: Vec<_> = damaged.map(|rejected| RoomName::clone(&rejected.room)).collect();
        self.delete_lists(rooms).await?;
        Ok(rejected)
    }

    /// Repairs those of `rooms` that could not be read for the same reason.
    pub(super) async fn after_reads(
        &self,
        rooms: &[RoomName],
        read: &[StoredSnapshots],
    ) -> Result<(), BusError> {
        let is_damaged = |it: &StoredSnapshots| matches!(it, Err(BusRejection::WrongType));
        let damaged = rooms.iter().zip(read).filter(|(_, it)| is_damaged(it));
        let rooms: Vec<_> = damaged.map(|(room, _)| RoomName::clone(room)).collect();
        self.delete_lists(rooms).await
    }

    async fn delete_lists(&self, rooms: Vec<RoomName>) -> Result<(), BusError> {
        let lists: Vec<_> = rooms.iter().map(|room| self.keys.present(room)).collect();
        delete_other_types(&self.connection, lists).await.map(drop)
    }
}
