/** What the forms have in common: values, one request at a time, and refusals where they belong. */

import { useRef, useState } from "preact/hooks";
import { errorSentence, fieldErrors } from "../errors.js";

/**
 * @template {Record<string, string>} V
 * @param {V} initial the values of the fields, by the names that the server uses
 * @param {{
 *   check?: (values: V) => Record<string, string>, submit: (values: V) => Promise<unknown>, occasion?: string,
 *   fields?: readonly string[],
 * }} options `check` finds what is plainly wrong before anything is sent; `fields` are those of a refusal
 *   that have a place in the form, by default all values
 */
export function useForm(initial, { check = () => ({}), submit, occasion, fields = Object.keys(initial) }) {
  const [values, setValues] = useState(initial);
  const [wrong, setWrong] = useState(/** @type {Record<string, string>} */ ({}));
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));

  const show = (fieldProblems, otherProblem) => {
    setWrong(fieldProblems);
    setProblem(otherProblem);
    const first = Object.keys(fieldProblems)[0];
    if (first) form.current?.querySelector(`[name="${first}"]`)?.focus();
  };

  const onSubmit = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    const plain = check(values);
    show(plain, "");
    if (Object.keys(plain).length) return;
    setBusy(true);
    try {
      await submit(values);
    } catch (error) {
      const refused = fieldErrors(error, fields);
      show(refused, Object.keys(refused).length ? "" : errorSentence(error, occasion));
    }
    setBusy(false);
  };

  /** The properties of the field with that name. */
  const field = (name) => ({
    name,
    value: values[name],
    error: wrong[name],
    onInput: (value) => {
      setValues((old) => ({ ...old, [name]: value }));
      setWrong(({ [name]: _, ...rest }) => rest);
    },
  });

  return { form, onSubmit, field, problem, isBusy, values, setValues };
}
