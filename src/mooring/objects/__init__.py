"""`s3://`, embedded: an S3 endpoint whose objects are plain files below the data directory.

**Why there is no rclone behind it.** `rclone serve s3` 1.75.2 was measured as the store behind a front and replaced:

- a HEAD of a 1 GB object read and hashed it again (1.4 s), after every restart anew;
- the ETag answered by CompleteMultipartUpload (`…-8`) was another than HEAD's, which is the MD5 of the bytes;
- `a/b` beside `a` was answered with 500, `x/` was stored as `x`, `a//b` was refused;
- content type, metadata and conditions are not kept by it, so the front had to hold the object's record anyway, and
  then could never replace bytes and record in one step: a crash in between shows one object's metadata on another;
- a killed upload left `.rclone_temp_put_…` in the bucket's directory;
- one PUT of 1 GB cost it 8 s of CPU at 81 MB resident, before any work of a front; this package costs 2.4 s, of
  which MD5 alone is 1.3 s, because the bytes are touched once, and answers GETs with sendfile.

**How it is served.** A thread a connection with blocking sockets, not an event loop: receiving, hashing and writing all
leave Python's lock, a 256 KiB buffer is all that an upload holds, and a slow disk stalls nobody else. Beside an aiohttp
server with the same work in threads this took 20 % less CPU a gigabyte and a third of the memory. Heads are parsed by
httptools, as in the gateway.

**What holds.** An object is visible whole or not at all, with its own metadata, whatever is killed when
(`mooring.objects.records`); a PUT that was answered survives power loss; only operations of
`mooring.objects.admission` are admitted, all others are answered NotImplemented; no key names a path outside its bucket
(`mooring.objects.keys`).
"""
