-- The orders in which objects are listed when nobody asks for another.
CREATE INDEX registered_models_by_name ON registered_models (name {bytewise}, uid {bytewise}) WHERE deleted IS NULL;
CREATE INDEX model_versions_by_update ON model_versions (updated DESC) WHERE deleted IS NULL;
CREATE INDEX experiments_by_creation ON experiments (created DESC, id);
