-- What is lawful for bytes. See the rules of access for how they are written.
RULE blobs_fixed BEFORE UPDATE ON blobs
SAYS 'bytes do not change';
