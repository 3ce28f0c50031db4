%% The supervisors and workers of a history, what they are told to do, and what they tell.
%%
%% Rule: a child does what its script says, and a supervisor starts with the list of children that stands in `facts`:
%% `{{Id, spec, Name}, Flags, Children}`, each child as `{Name, Kind, Restart, Significant, enabled | disabled | ended}`.
-module(oracle_tree).
-behaviour(supervisor).
-export([plant/3, tell/2, exits/1, watch/2, how_it_ended/1, end_temporary/3, exclude_temporary/3]).
-export([is_allowed/4, state/3, set_state/4, renew/2, change/3, change_list/3]).
-export([init/1, log/2, start_supervisor/2, start_worker/2, worker/3]).

plant(Id, Tree, Scripts) ->
    [ets:insert(facts, {{Id, spec, Name}, Flags, Children}) || {Name, Flags, Children} <- Tree],
    [ets:insert(facts, [{{Id, script, Name}, Results}, {{Id, starts, Name}, 0}]) || {Name, Results} <- Scripts].

%% ---- Children ---------------------------------------------------------------------------------------------------------

start_supervisor(Id, Name) ->
    supervisor:start_link(?MODULE, {Id, Name}).

init({Id, Name}) ->
    put(oracle, {Id, Name}),
    ets:insert(facts, {{name, self()}, supervisor, Name}),
    [{_, {Strategy, Intensity, Period, AutoShutdown}, Children}] = ets:lookup(facts, {Id, spec, Name}),
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period, auto_shutdown => AutoShutdown},
    {ok, {Flags, [child(Id, Child) || {_, _, _, _, enabled} = Child <- Children]}}.

child(Id, {Name, Kind, Restart, Significant, enabled}) ->
    Start = case Kind of worker -> start_worker; supervisor -> start_supervisor end,
    #{id => Name, start => {?MODULE, Start, [Id, Name]}, restart => Restart, significant => Significant,
      % However busy the machine is, nobody is killed for being slow.
      shutdown => infinity, type => Kind}.

start_worker(Id, Name) ->
    proc_lib:start_link(?MODULE, worker, [self(), Id, Name]).

%% Exits are trapped before the start is acknowledged; otherwise a stop right after it leaves no trace.
worker(Parent, Id, Name) ->
    process_flag(trap_exit, true),
    case scripted(Id, Name) of
        ok ->
            ets:insert(facts, {{name, self()}, worker, Name}),
            tell(Id, {start, Name}),
            proc_lib:init_ack(Parent, {ok, self()}),
            work(Parent, Id, Name);
        error ->
            tell(Id, {failed, Name}),
            unlink(Parent),
            proc_lib:init_ack(Parent, {error, scripted})
    end.

scripted(Id, Name) ->
    case ets:member(facts, {Id, assured}) of
        true ->
            ok;
        false ->
            Number = ets:update_counter(facts, {Id, starts, Name}, 1),
            case ets:lookup(facts, {Id, script, Name}) of
                [{_, Results}] when Number =< length(Results) -> lists:nth(Number, Results);
                _ -> ok
            end
    end.

work(Parent, Id, Name) ->
    receive
        {die, killed} ->
            exit(self(), kill),
            receive after infinity -> ok end;
        {die, Reason} ->
            exit(Reason);
        {'EXIT', Parent, Reason} ->
            tell(Id, {stopped, Name}),
            exit(Reason)
    end.

%% ---- What is told ----------------------------------------------------------------------------------------------------

tell(Id, Event) ->
    ets:insert(trace, {{Id, erlang:unique_integer([monotonic])}, Event}).

exits(Id) ->
    length(ets:select(trace, [{{{Id, '_'}, {exited, '_', '_'}}, [], [true]}])).

%% Supervisors report to the logger in their own process, before they go on.
log(#{msg := {report, #{label := {supervisor, What}, report := Report}}}, _Config) ->
    case get(oracle) of
        {Id, _Name} -> log(What, Id, proplists:get_value(offender, Report));
        undefined -> ok
    end;
log(_Event, _Config) ->
    ok.

log(shutdown, _Id, _Offender) ->
    ets:insert(facts, {{gave_up, self()}});
log(start_error, Id, Offender) ->
    case proplists:get_value(child_type, Offender) of
        supervisor -> tell(Id, {failed, proplists:get_value(id, Offender)});
        worker -> ok
    end;
log(_, _Id, _Offender) ->
    ok.

%% Tells who is up, and from now on how supervisors end that nobody told to, when their parent takes note of it. The
%% parents see to this themselves: a debug function is called with each message, before it is handled.
watch(_Id, gone) ->
    ok;
watch(Id, Walk) ->
    tell(Id, list_to_tuple([up | lists:sort([Name || {Name, _, _, _} <- Walk])])),
    [watch_one(Id, Pid) || {_, supervisor, Pid, _} <- Walk].

watch_one(Id, Pid) ->
    case ets:insert_new(facts, {{watched, Pid}}) of
        true -> ok = sys:install(Pid, {oracle, fun sees/3, Id}, infinity);
        false -> ok
    end.

sees(Id, {in, {'EXIT', Pid, _Reason}}, _State) ->
    {_, Name} = get(oracle),
    child_ended(Id, Name, Pid),
    Id;
sees(Id, _Event, _State) ->
    Id.

child_ended(Id, Parent, Pid) ->
    case ets:lookup(facts, {name, Pid}) of
        [{_, worker, Name}] ->
            end_temporary(Id, Parent, Name);
        [{_, supervisor, Name}] ->
            % One that failed to start is reported by its parent, and was never up.
            ets:member(facts, {watched, Pid}) andalso supervisor_ended(Id, Parent, Name, Pid);
        [] ->
            ok
    end.

supervisor_ended(Id, Parent, Name, Pid) ->
    How = how_it_ended(Pid),
    tell(Id, {exited, Name, How}),
    % Difference 4 (giving up is no end): a supervisor that gave up has not finished; in OTP, it has, and its parent may
    % shut itself down.
    How =:= gave_up andalso is_significant(Id, Parent, Name) andalso tell(Id, {excluded, difference_4}),
    % Difference 6 (temporary means never again): a Temporary child that has ended never runs again; OTP starts it again with
    % a new incarnation of its supervisor. The list of children loses it here. One that gave up has not ended, by the
    % difference 4 (giving up is no end).
    Types = case How of gave_up -> []; auto_shutdown -> [temporary] end,
    drop_ended(Id, Parent, Name, Types).

how_it_ended(Pid) ->
    case ets:member(facts, {gave_up, Pid}) of
        true -> gave_up;
        false -> auto_shutdown
    end.

%% A worker has ended by itself, and is not started again if it is Temporary.
end_temporary(Id, Parent, Name) ->
    drop_ended(Id, Parent, Name, [temporary]).

%% What becomes of a Temporary worker that ended among others depends on whose death stops whom.
exclude_temporary(Id, Parent, Name) ->
    [{_, _, Children}] = ets:lookup(facts, {Id, spec, Parent}),
    element(3, lists:keyfind(Name, 1, Children)) =:= temporary andalso tell(Id, {excluded, difference_6}).

drop_ended(Id, Parent, Name, Types) ->
    change(Id, Parent, fun
        ({N, Kind, Restart, Significant, _} = Child) when N =:= Name ->
            case lists:member(Restart, Types) of
                true -> {N, Kind, Restart, Significant, ended};
                false -> Child
            end;
        (Other) ->
            Other
    end).

%% ---- The list of children --------------------------------------------------------------------------------------------

%% Whether OTP accepts such a child there; an earlier step that was skipped may have made it impossible.
is_allowed(Id, Parent, Restart, true) ->
    Restart =/= permanent andalso
        [never] =/= [element(4, Flags) || {_, Flags, _} <- ets:lookup(facts, {Id, spec, Parent})];
is_allowed(_Id, _Parent, _Restart, false) ->
    true.

is_significant(Id, Parent, Name) ->
    [{_, Flags, Children}] = ets:lookup(facts, {Id, spec, Parent}),
    element(4, Flags) =/= never andalso element(4, lists:keyfind(Name, 1, Children)).

%% Whether a child is to run: enabled, disabled, ended or unknown.
state(Id, Parent, Name) ->
    Children = lists:append([Children || {_, _, Children} <- ets:lookup(facts, {Id, spec, Parent})]),
    case lists:keyfind(Name, 1, Children) of
        {_, _, _, _, State} -> State;
        false -> unknown
    end.

renew(Id, Name) ->
    [begin
        change(Id, Name, fun
            ({N, Kind, Restart, Significant, ended}) -> {N, Kind, Restart, Significant, enabled};
            (Other) -> Other
        end),
        [renew(Id, element(1, Child)) || Child <- Children]
     end || {_, _, Children} <- ets:lookup(facts, {Id, spec, Name})].

set_state(Id, Parent, Name, State) ->
    change(Id, Parent, fun
        ({N, Kind, Restart, Significant, _}) when N =:= Name -> {N, Kind, Restart, Significant, State};
        (Other) -> Other
    end).

change(Id, Parent, Change) ->
    change_list(Id, Parent, fun(Children) -> lists:map(Change, Children) end).

change_list(Id, Parent, Change) ->
    [{_, _, Children}] = ets:lookup(facts, {Id, spec, Parent}),
    ets:update_element(facts, {Id, spec, Parent}, {3, Change(Children)}).
