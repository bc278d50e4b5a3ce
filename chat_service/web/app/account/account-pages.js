/** The pages of those who are not signed in, together, so that going from one to the other is no wait. */

export { SignIn } from "./sign-in.js";
export { SignUp } from "./sign-up.js";
