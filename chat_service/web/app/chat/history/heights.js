/**
 * The heights of many rows, one below the other: where each begins, and which one lies at a distance from the
 * top, both in steps that grow with the logarithm of their number (a Fenwick tree). Rows count from 1.
 */

const FIRST_CAPACITY = 256;

export class Heights {
  #heights = new Float64Array(FIRST_CAPACITY + 1);
  #sums = new Float64Array(FIRST_CAPACITY + 1);
  #count = 0;

  get count() {
    return this.#count;
  }

  get total() {
    return this.offsetOf(this.#count + 1);
  }

  /** @param {number} index */
  heightOf(index) {
    return this.#heights[index];
  }

  /** The sum of the heights before `index`, which may be one more than there are. */
  offsetOf(index) {
    let sum = 0;
    for (let at = index - 1; at > 0; at -= at & -at) sum += this.#sums[at];
    return sum;
  }

  /** The first row that reaches below `offset`; the last one where none does, 0 where there are none. */
  indexAt(offset) {
    let index = 0;
    let rest = Math.max(0, offset);
    for (let step = highestBit(this.#count); step > 0; step >>= 1) {
      const next = index + step;
      if (next <= this.#count && this.#sums[next] <= rest) {
        index = next;
        rest -= this.#sums[next];
      }
    }
    return Math.min(index + 1, this.#count);
  }

  /** @returns {number} by how much the row has grown */
  set(index, height) {
    const grown = height - this.#heights[index];
    if (grown === 0) return 0;
    this.#heights[index] = height;
    for (let at = index; at <= this.#count; at += at & -at) this.#sums[at] += grown;
    return grown;
  }

  append(height) {
    const index = this.#count + 1;
    this.#reserve(index);
    this.#heights[index] = height;
    let sum = height;
    const end = index - (index & -index);
    for (let at = index - 1; at > end; at -= at & -at) sum += this.#sums[at];
    this.#sums[index] = sum;
    this.#count = index;
  }

  /** Forgets the rows after `count`. */
  truncate(count) {
    this.#count = Math.min(count, this.#count);
  }

  #reserve(index) {
    if (index < this.#heights.length) return;
    const capacity = 2 * this.#heights.length;
    this.#heights = enlarged(this.#heights, capacity);
    this.#sums = enlarged(this.#sums, capacity);
  }
}

function highestBit(number) {
  return number === 0 ? 0 : 1 << (31 - Math.clz32(number));
}

function enlarged(values, capacity) {
  const larger = new Float64Array(capacity);
  larger.set(values);
  return larger;
}
