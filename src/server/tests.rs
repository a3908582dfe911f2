//! The service over a live shard, by plain sockets.
