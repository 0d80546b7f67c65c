-- What is lawful for bytes. See the rules of access for how they are written.
RULE blobs_fixed BEFORE UPDATE ON blobs
SAYS 'bytes do not change';
-- Another row of the same uid would be other bytes.
RULE blobs_kept BEFORE DELETE ON blobs
REFUSES EXISTS (SELECT 1 FROM run_artifacts f WHERE f.blob_uid = OLD.uid)
    OR EXISTS (SELECT 1 FROM logged_model_artifacts f WHERE f.blob_uid = OLD.uid)
SAYS 'bytes of a run or a logged model are kept';
