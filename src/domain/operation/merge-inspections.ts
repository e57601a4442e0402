/** Answers of several hosts as one: lists are joined, everything else is the first host's. */
export function mergeInspectionResults(answers: readonly unknown[]): unknown {
  const [first, ...rest] = answers;
  if (rest.length === 0 || !isObject(first)) return first;
  return Object.fromEntries(
    Object.entries(first).map(([key, value]) => [
      key,
      Array.isArray(value)
        ? answers.flatMap((answer) =>
            isObject(answer) && Array.isArray(answer[key]) ? (answer[key] as unknown[]) : [],
          )
        : value,
    ]),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
