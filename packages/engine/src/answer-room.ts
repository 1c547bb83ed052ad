/** Who answers a caller keeps within a budget for answers that are not yet taken. */
export interface AnswerRoom {
  /**
   * Asked before a value is opened, so that none lies in memory that cannot be sent.
   *
   * @param valueBytes of all values in the answer together
   * @throws what the caller is then told; nothing has been revealed
   */
  reserve(valueBytes: number): void;
}
