//! What Redis keeps of the messages of a room: a stream, which one script appends to and shortens.
//!
//! Each entry has the bytes (`b`) and messages (`n`) of all entries up to it, so that what the stream has is a difference
//! of two entries, and no other key can disagree with it. The stream expires `age` after its last entry. Its first entries
//! are removed one by one, a few at a time: the bounds rarely change, and a script delays all others.

use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Value, cmd, from_redis_value};

use super::connection::RedisConnection;
use super::keys::Keys;
use super::{Role, Shared};
use crate::bus::{BusError, EntryPosition, EntryToKeep, KeptEntry, RoomName};

/// Appends an entry, and removes the oldest ones beyond the bounds. A larger one than the bounds allow leaves nothing, so
/// that what is kept has no gaps. A key of another type is replaced: nothing else may use the prefix.
const KEEP: &str = "\
local key, message, count, lost = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local messages_max, bytes_max, age = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local found = redis.call('TYPE', key).ok
if (found ~= 'stream' and found ~= 'none') or #message > bytes_max then redis.call('DEL', key) end
if #message > bytes_max then return 0 end
local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local bytes, number = #message, count
if last then bytes, number = bytes + tonumber(last[2][2]), number + tonumber(last[2][4]) end
local id = redis.call('XADD', key, '*', 'b', string.format('%.0f', bytes), 'n', string.format('%.0f', number), \
'l', lost, 'm', message)
redis.call('PEXPIRE', key, ARGV[6])
local oldest = tonumber(string.match(id, '^%d+')) - age
for _ = 1, 64 do
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  local kept = bytes - tonumber(first[2][2]) + #first[2][8]
  local others = number - tonumber(first[2][4])
  local is_old = tonumber(string.match(first[1], '^%d+')) < oldest
  if first[1] == id or not (is_old or kept > bytes_max or others >= messages_max) then break end
  redis.call('XDEL', key, first[1])
end
return 1";

/// The command that keeps an entry.
pub(super) fn keep(keys: &Keys, room: &str, entry: &EntryToKeep) -> Cmd {
    let EntryToKeep { message, messages, lost_at, bounds } = entry;
    let age = u64::try_from(bounds.age.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut eval = cmd("EVAL");
    eval.arg(KEEP).arg(1).arg(keys.history(room)).arg(&**message).arg(messages).arg(lost_at);
    eval.arg(bounds.messages).arg(bounds.bytes).arg(age);
    eval
}

impl Shared {
    /// Reads the newest entries before a position. Over a connection of its own, which is opened when it is first needed, and
    /// again when it is lost.
    pub(super) async fn kept(
        &self,
        room: &RoomName,
        before: Option<EntryPosition>,
        count: usize,
    ) -> Result<Vec<KeptEntry>, BusError> {
        loop {
            let (connection, is_new) = self.history_reader().await?;
            match read(&connection, &self.keys, room, before, count).await {
                Err(lost @ (BusError::Closed | BusError::TimedOut | BusError::Unreachable(_))) => {
                    *self.history_reader.lock().await = None;
                    // Another one may have been lost long ago.
                    if is_new {
                        return Err(lost);
                    }
                }
                read => return read,
            }
        }
    }

    /// The connection, and whether it has just been opened.
    async fn history_reader(&self) -> Result<(RedisConnection, bool), BusError> {
        let mut reader = self.history_reader.lock().await;
        if let Some(connection) = &*reader {
            return Ok((connection.clone(), false));
        }
        let opened = self.open(Role::History, |_push| -> Result<(), ()> { Ok(()) }).await?;
        let connection = RedisConnection::start(opened, self.timeout);
        *reader = Some(connection.clone());
        Ok((connection, true))
    }
}

async fn read(
    connection: &RedisConnection,
    keys: &Keys,
    room: &str,
    before: Option<EntryPosition>,
    count: usize,
) -> Result<Vec<KeptEntry>, BusError> {
    let newest = match before.map(|EntryPosition { kept_at, number }| (kept_at, number)) {
        None => "+".to_owned(),
        // Redis before 6.2 cannot exclude the end of a range.
        Some((kept_at, 0)) => format!("{}-{}", kept_at.saturating_sub(1), u64::MAX),
        Some((kept_at, number)) => format!("{kept_at}-{}", number - 1),
    };
    let mut command = cmd("XREVRANGE");
    command.arg(keys.history(room)).arg(newest).arg("-").arg("COUNT").arg(count);
    let entries: Vec<Value> = connection.value(&mut command).await?;
    Ok(entries.into_iter().filter_map(entry).collect())
}

/// An entry, unless something else has written it.
fn entry(entry: Value) -> Option<KeptEntry> {
    let (id, fields): (String, Vec<Value>) = from_redis_value(entry).ok()?;
    let (kept_at, number) = id.split_once('-')?;
    let position = EntryPosition { kept_at: kept_at.parse().ok()?, number: number.parse().ok()? };
    let [.., lost_at, _name, message] = <[Value; 8]>::try_from(fields).ok()?;
    let message = Bytes::from(Vec::<u8>::from_redis_value(message).ok()?);
    Some(KeptEntry { position, message, lost_at: from_redis_value(lost_at).ok()? })
}
