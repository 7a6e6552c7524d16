"""Names on which several places must agree: metrics, ports, exit codes, and words of labels and files.

Metric names live here as constants; their meaning, labels and kind live in `netsre.metrics.registry`.
"""

from typing import Final

# Files that people write.
API_VERSION: Final = "netsre.dev/v1"

# Where the two processes listen unless told otherwise; loopback, because neither is public.
CONTROLLER_PORT: Final = 8600
AGENT_PORT: Final = 8601
ALERTMANAGER_PORT: Final = 9093
"""Not ours, but where one usually listens."""

FAILED_LOADS: Final = "/bpf/failures"
"""Path of the agent at which the last words of the verifier are, for this node alone."""

# Everything netsre makes on a host (namespaces, links, tables) starts with this.
OWNED_PREFIX: Final = "netsre-"

# Label values that stand for "more than we keep apart", never for one real thing.
OTHER: Final = "~other"

OWNER: Final = "netsre"
"""Who owns our programs and maps, where they stand beside those of others."""

# Exit codes of every command.
EXIT_OK: Final = 0
EXIT_NO: Final = 1
EXIT_USAGE: Final = 2
EXIT_ENVIRONMENT: Final = 3

# Agent: flows.
FLOWS: Final = "netsre_flows_total"
FLOW_CONNECT_SECONDS: Final = "netsre_flow_connect_seconds"
FLOW_ATTEMPTS_IN_FLIGHT: Final = "netsre_flow_attempts_in_flight"

# Agent: TCP, and what the kernel drops.
TCP_RETRANSMITS: Final = "netsre_tcp_retransmits_total"
TCP_RESETS: Final = "netsre_tcp_resets_total"
FLOW_RTT_SECONDS: Final = "netsre_flow_rtt_seconds"
BENIGN_DROPS: Final = "netsre_benign_drops_total"

# Agent: conntrack.
CONNTRACK_ENTRIES: Final = "netsre_conntrack_entries"
CONNTRACK_LIMIT: Final = "netsre_conntrack_limit"
CONNTRACK_UTILIZATION: Final = "netsre_conntrack_utilization_ratio"
CONNTRACK_INSERT_FAILED: Final = "netsre_conntrack_insert_failed_total"
CONNTRACK_DROPS: Final = "netsre_conntrack_drops_total"
CONNTRACK_EARLY_DROPS: Final = "netsre_conntrack_early_drops_total"
CONNTRACK_EVENTS: Final = "netsre_conntrack_events_total"
CONNTRACK_GROWTH: Final = "netsre_conntrack_growth_per_second"
CONNTRACK_FULL_SECONDS: Final = "netsre_conntrack_full_seconds"
CONNTRACK_STATE_ENTRIES: Final = "netsre_conntrack_state_entries"
CONNTRACK_TOP_SOURCE: Final = "netsre_conntrack_top_source_entries"
CONNTRACK_TOP_SOURCE_SHARE: Final = "netsre_conntrack_top_source_ratio"
CONNTRACK_COUNTED: Final = "netsre_conntrack_counted_ratio"
CONNTRACK_COUNT_AGE: Final = "netsre_conntrack_count_age_seconds"

# The policy datapath and the flow log, where a node has them.
POLICY_VERDICTS: Final = "netsre_policy_verdicts_total"
POLICY_PACKETS: Final = "netsre_policy_packets_total"
POLICY_BYTES: Final = "netsre_policy_bytes_total"
POLICY_EVENTS: Final = "netsre_policy_events_total"
POLICY_MODE: Final = "netsre_policy_mode"
POLICY_MODE_LEFT: Final = "netsre_policy_mode_left_seconds"
POLICY_ENDPOINT_MODES: Final = "netsre_policy_endpoint_modes"
POLICY_STAGED: Final = "netsre_policy_staged_policies"
POLICY_CANARY: Final = "netsre_policy_canary_endpoints"
POLICY_TRIAL_LEFT: Final = "netsre_policy_trial_left_seconds"
POLICY_COMPILE_SECONDS: Final = "netsre_policy_compile_seconds"
POLICY_REVISION: Final = "netsre_policy_revision"
POLICY_RULES: Final = "netsre_policy_rules"
POLICY_REFUSED: Final = "netsre_policy_refused_packets_total"
POLICY_UNEXPECTED: Final = "netsre_policy_unexpected_destinations"
POLICY_ORDERS: Final = "netsre_policy_orders"
POLICY_FOLLOWING: Final = "netsre_policy_following"
POLICY_COLLECTED: Final = "netsre_policy_connections_collected_total"
PREFILTER_PACKETS: Final = "netsre_prefilter_packets_total"
PREFILTER_MISSED: Final = "netsre_prefilter_missed_packets_total"
PREFILTER_BYTES: Final = "netsre_prefilter_bytes_total"
PREFILTER_EVENTS: Final = "netsre_prefilter_events_total"
PREFILTER_RULES: Final = "netsre_prefilter_rules"
PREFILTER_MODE: Final = "netsre_prefilter_mode"
PREFILTER_MODE_LEFT: Final = "netsre_prefilter_mode_left_seconds"
PREFILTER_INTERFACES: Final = "netsre_prefilter_interfaces"
FLOW_LOG_EVENTS: Final = "netsre_flow_log_events_total"
FLOW_LOG_LOST: Final = "netsre_flow_log_lost_total"
FLOW_LOG_SAMPLING: Final = "netsre_flow_log_sampling_ratio"
LB_CONNECTIONS: Final = "netsre_lb_connections_total"
BALANCE_CONNECTIONS: Final = "netsre_balance_connections_total"
BALANCE_DATAGRAMS: Final = "netsre_balance_datagrams_total"
BALANCE_REFUSED: Final = "netsre_balance_refused_total"
BALANCE_EVENTS: Final = "netsre_balance_events_total"
BALANCE_BACKENDS: Final = "netsre_balance_backends"
BALANCE_SERVICES: Final = "netsre_balance_services"
BALANCE_REVISION: Final = "netsre_balance_revision"
BALANCE_ATTACHED: Final = "netsre_balance_attached"

# Agent: what it changes on request.
DROPS: Final = "netsre_drops_total"
BLOCK_UNREAD: Final = "netsre_block_unread_total"
EFFECTS: Final = "netsre_agent_effects"
AGENT_COMMANDS: Final = "netsre_agent_commands_total"

# Agent: its own programs and maps.
BPF_PROGRAM_LOADS: Final = "netsre_bpf_program_loads_total"
BPF_LOADS_FAILING: Final = "netsre_bpf_program_loads_failing"
BPF_VERIFIER_SECONDS: Final = "netsre_bpf_verifier_seconds"
BPF_VERIFIER_INSTRUCTIONS: Final = "netsre_bpf_verifier_instructions"
BPF_RUNS: Final = "netsre_bpf_runs_total"
BPF_MISSED_RUNS: Final = "netsre_bpf_missed_runs_total"
BPF_RUN_STATISTICS: Final = "netsre_bpf_run_statistics"
BPF_RUN_SECONDS: Final = "netsre_bpf_run_seconds_total"
BPF_MAP_ENTRIES: Final = "netsre_bpf_map_entries"
BPF_MAP_CAPACITY: Final = "netsre_bpf_map_capacity"
BPF_MAP_MEMORY: Final = "netsre_bpf_map_memory_bytes"
BPF_MAP_PRESSURE: Final = "netsre_bpf_map_pressure_ratio"
BPF_MAP_EXHAUSTION: Final = "netsre_bpf_map_exhaustion_ratio"
BPF_MAPS: Final = "netsre_bpf_maps"
BPF_MAP_OVERFLOWS: Final = "netsre_bpf_map_overflows_total"
AGENT_PROBE_UP: Final = "netsre_agent_probe_up"
AGENT_PROBE_LEFT_OUT: Final = "netsre_agent_probe_left_out"
AGENT_READ_ERRORS: Final = "netsre_agent_read_errors_total"
AGENT_COLLECT_SECONDS: Final = "netsre_agent_collect_seconds"
BUILD_INFO: Final = "netsre_build_info"
PROCESS_START_TIME: Final = "process_start_time_seconds"
AGENT_BUDGET: Final = "netsre_agent_budget_ratio"
AGENT_COST: Final = "netsre_agent_cost_ratio"
AGENT_SHEDS: Final = "netsre_agent_sheds_total"
AGENT_PART_CPU: Final = "netsre_agent_part_cpu_seconds_total"
AGENT_PART_RESTARTS: Final = "netsre_agent_part_restarts_total"
AGENT_PART_RSS: Final = "netsre_agent_part_resident_memory_bytes"
AGENT_CPU: Final = "netsre_agent_cpu_ratio"
PROCESS_CPU: Final = "process_cpu_seconds_total"
PROCESS_RSS: Final = "process_resident_memory_bytes"

# Controller: the SLO engine.
SLO_OBJECTIVE: Final = "netsre_slo_objective_ratio"
SLO_BUDGET_REMAINING: Final = "netsre_slo_error_budget_remaining_ratio"
SLO_BURN_RATE: Final = "netsre_slo_burn_rate"
SLO_COVERAGE: Final = "netsre_slo_coverage_ratio"
SLO_EVENTS: Final = "netsre_slo_window_events"
SOURCE_UP: Final = "netsre_source_up"
TICK_SECONDS: Final = "netsre_controller_tick_seconds"
TICK_FAILURES: Final = "netsre_controller_tick_failures_total"
CONTROLLER_LEADER: Final = "netsre_controller_leader"
CONTROLLER_LEASE_EPOCH: Final = "netsre_controller_lease_epoch"

# Controller: alerts and automation.
ALERTS_ACTIVE: Final = "netsre_alerts_active"
ALERT_TRANSITIONS: Final = "netsre_alert_transitions_total"
OUTBOX_PENDING: Final = "netsre_outbox_pending"
ALERTS_RECEIVED: Final = "netsre_alerts_received_total"
ALERTMANAGER_UP: Final = "netsre_alertmanager_up"
ALERTMANAGER_POSTS: Final = "netsre_alertmanager_posts_total"
SLACK_REQUESTS: Final = "netsre_slack_messages_total"
SLACK_WAITING: Final = "netsre_slack_messages_waiting"
SLACK_LAST_SUCCESS: Final = "netsre_slack_last_success_timestamp_seconds"
SLACK_CLICKS: Final = "netsre_slack_clicks_total"
SLACK_CONNECTED: Final = "netsre_slack_socket_connected"
KILL_SWITCH: Final = "netsre_kill_switch"
GAMEDAY_ACTIVE: Final = "netsre_gameday_active"
GAMEDAYS: Final = "netsre_gamedays_total"
AUTOMATION_PAUSES: Final = "netsre_automation_pauses"
CIRCUIT_OPEN: Final = "netsre_runbook_circuit_open"
RUNS: Final = "netsre_runs_total"
RUNS_AWAITING: Final = "netsre_runs_awaiting_approval"
RUNS_REFUSED: Final = "netsre_runs_refused_total"

# Labels.
NODE: Final = "node"
NETNS: Final = "netns"
SEVERITY_PAGE: Final = "page"
SEVERITY_TICKET: Final = "ticket"
