"""Work that is kept on Redis Streams until somebody has done it."""
