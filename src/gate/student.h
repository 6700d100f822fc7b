/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Student's t distribution, of any number of degrees of freedom above 0, whole or not. */
#ifndef GATE_STUDENT_H
#define GATE_STUDENT_H

/* The probability of a value above @t. */
double student_above(double t, double df);
/* The value that is exceeded with probability @p, 0 < @p < 1. */
double student_quantile(double p, double df);

#endif
