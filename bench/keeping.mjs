/** What `use` hands to its `keep` is disposed of when it has ended, the newest first. */
export async function keeping(use) {
  const started = [];
  const keep = async (starting) => {
    const one = await starting;
    started.unshift(one);
    return one;
  };
  try {
    return await use(keep);
  } finally {
    for (const one of started) await one[Symbol.asyncDispose]();
  }
}
