# SPDX-License-Identifier: GPL-2.0-or-later
"""The house of tdxemu: everything that ./tdxemu does outside the emulator itself."""
