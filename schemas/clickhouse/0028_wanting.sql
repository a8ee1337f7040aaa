-- Items that the chat model was to read and could not, so that they are read again once it
-- answers.
ALTER TABLE readings {{on_cluster}} ADD COLUMN IF NOT EXISTS wanting UInt8;
