# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# include gate.mk: make faults-gate fails when there are more page faults than the baseline has,
# which is under version control; make faults-baseline adds runs to it.
FAULTPROF ?= sudo faultprof
FAULTS_BASELINE ?= faults.json
FAULTS_TEST ?= ./load-test.sh

.PHONY: faults-gate faults-baseline

faults-gate:
	$(FAULTPROF) gate --baseline $(FAULTS_BASELINE) --work-from requests --repeat 5 --confirm \
		-- $(FAULTS_TEST)

faults-baseline:
	$(FAULTPROF) baseline update --baseline $(FAULTS_BASELINE) --work-from requests --repeat 10 \
		-- $(FAULTS_TEST)
