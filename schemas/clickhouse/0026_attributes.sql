-- What a signal says besides its kind. Texts are the customer's words with personal data
-- masked; a deleted row has none. amounts and currencies go together by place.
ALTER TABLE signals {{on_cluster}}
    ADD COLUMN IF NOT EXISTS severity_reason String CODEC(ZSTD(3)),
    ADD COLUMN IF NOT EXISTS churn           Float32,
    ADD COLUMN IF NOT EXISTS security        UInt8,
    ADD COLUMN IF NOT EXISTS billing         UInt8,
    ADD COLUMN IF NOT EXISTS platform        LowCardinality(String),
    ADD COLUMN IF NOT EXISTS app_version     String,
    ADD COLUMN IF NOT EXISTS amounts         Array(Float64),
    ADD COLUMN IF NOT EXISTS currencies      Array(String),
    ADD COLUMN IF NOT EXISTS workaround      String CODEC(ZSTD(3)),
    ADD COLUMN IF NOT EXISTS expected        String CODEC(ZSTD(3)),
    ADD COLUMN IF NOT EXISTS actual          String CODEC(ZSTD(3)),
    ADD COLUMN IF NOT EXISTS job             String CODEC(ZSTD(3)),
    ADD COLUMN IF NOT EXISTS language        LowCardinality(String),
    ADD COLUMN IF NOT EXISTS unsupported     UInt8;
