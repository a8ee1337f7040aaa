-- A single signal can be attached to a ticket, whatever cluster it is in. signal is its id,
-- and so is cluster then, since that is the key; signal is empty where a cluster is attached.
ALTER TABLE attachments {{on_cluster}} ADD COLUMN IF NOT EXISTS signal String AFTER cluster;
