/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How likely a value so far out is, of distributions with any number of degrees of freedom above 0,
 * whole or not. */
#ifndef MODEL_TAILS_H
#define MODEL_TAILS_H

/* Of Student's t: the probability of a value above @t. */
double student_above(double t, double df);
/* The value that is exceeded with probability @p, 0 < @p < 1. */
double student_quantile(double p, double df);
/* Of Fisher's F, the ratio of two variances: the probability of one above @f, which is 0 or more.
 */
double fisher_above(double f, double df, double base_df);

#endif
